"""Pack the miniature world's artwork and vocabulary into the files that ship inside the package.

Needs three unpacked npm packages (``npm pack NAME`` and ``tar xzf``), version 16 of both artwork packages::

    python scripts/pack_atlas.py --google DIR --twitter DIR --names DIR

writes ``atlas-a.png`` (Noto Emoji), ``atlas-b.png`` (Twemoji) and ``vocabulary.json`` into
``src/safer_clip/miniature/assets``. The vocabulary itself is curated by eye in ``scripts/vocabulary.txt``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

TILE = 32
COLUMNS = 24
HERE = Path(__file__).parent
ASSETS = HERE.parent / "src" / "safer_clip" / "miniature" / "assets"


def parse_name(text: str) -> dict[str, str]:
    """``"knife > knives"`` -> singular and plural; a regular plural takes an s."""
    name, _, plural = (part.strip() for part in text.partition(">"))
    return {"name": name, "plural": plural or name + "s"}


def parse_entry(text: str, block: dict[str, str | None]) -> dict[str, object]:
    """Parse ``short = name [> plural] [| synonym ...] [~ or %]``."""
    short, _, rest = (part.strip() for part in text.partition(" = "))
    number = "plural" if "~" in rest else "mass" if "%" in rest else "singular"
    names = [parse_name(part) for part in rest.replace("~", "").replace("%", "").split("|")]
    if number != "singular":
        names = [{"name": n["name"], "plural": n["name"]} for n in names]
    return {"emoji": short, **names[0], "synonyms": names[1:], "number": number, **block}


def parse_block(header: str) -> dict[str, str | None]:
    """``[group / family]`` or ``[unsafe: category / family]`` -> group, family and category."""
    title, _, family = (part.strip() for part in header.strip("[]").partition("/"))
    category = title.removeprefix("unsafe: ") if title.startswith("unsafe: ") else None
    return {"group": None if category else title, "family": family or None, "category": category}


def parse_vocabulary(path: Path) -> list[dict[str, object]]:
    """Read the curated list; its order is the order of the tiles."""
    entries: list[dict[str, object]] = []
    block: dict[str, str | None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            block = parse_block(line.strip())
        elif line.strip() and not line.startswith("#"):
            entries += [parse_entry(part, block) for part in line.split(";")]
    names = [str(entry["name"]) for entry in entries]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SystemExit(f"{path}: names given twice: {', '.join(repeated)}")
    return entries


def pack(entries: list[dict[str, object]], package: Path, vendor: str) -> Image.Image:
    """Draw all tiles of one style, premultiplied and cropped to what is drawn, on one sheet."""
    images = {e["short_name"]: e["image"] for e in json.loads((package / "emoji.json").read_text())}
    rows = -(-len(entries) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * TILE, rows * TILE))
    for index, entry in enumerate(entries):
        picture = Image.open(package / "img" / vendor / "64" / images[entry["emoji"]]).convert("RGBA")
        picture = picture.crop(picture.getchannel("A").getbbox())
        scale = TILE / max(picture.size)
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        small = picture.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
        left, top = (index % COLUMNS) * TILE, (index // COLUMNS) * TILE
        sheet.paste(small, (left + (TILE - size[0]) // 2, top + (TILE - size[1]) // 2))
    return sheet


def main() -> None:
    """Write the two atlases and the vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--google", type=Path, required=True, help="unpacked emoji-datasource-google")
    parser.add_argument("--twitter", type=Path, required=True, help="unpacked emoji-datasource-twitter")
    parser.add_argument("--names", type=Path, required=True, help="unpacked emojibase-data")
    arguments = parser.parse_args()
    entries = parse_vocabulary(HERE / "vocabulary.txt")
    codes = {e["short_name"]: e["unified"] for e in json.loads((arguments.google / "emoji.json").read_text())}
    labels = {e["hexcode"]: e["label"] for e in json.loads((arguments.names / "en" / "data.json").read_text())}
    for entry in entries:
        code = codes[entry["emoji"]]
        entry["label"] = labels.get(code) or labels.get(code.replace("-FE0F", ""), "")
    ASSETS.mkdir(parents=True, exist_ok=True)
    for style, package, vendor in (("a", arguments.google, "google"), ("b", arguments.twitter, "twitter")):
        pack(entries, package, vendor).save(ASSETS / f"atlas-{style}.png", optimize=True)
    body = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in entries)
    (ASSETS / "vocabulary.json").write_text(f"[\n{body}\n]\n", encoding="utf-8")
    print(f"{len(entries)} entries packed into {ASSETS}")


if __name__ == "__main__":
    main()
