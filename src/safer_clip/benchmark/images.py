"""Making and judging the pictures of pairs whose captions passed: several takes each, of which the best is kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safer_clip.benchmark.candidates import Captioned, name_file
from safer_clip.benchmark.generators import Generator
from safer_clip.benchmark.judging import score_all, tell_sides
from safer_clip.benchmark.measures import Pair, SideScores
from safer_clip.errors import SaferClipError
from safer_clip.files import write_bytes
from safer_clip.journals import append_rows, read_journal
from safer_clip.judges.base import ImageJudge

if TYPE_CHECKING:
    from PIL.Image import Image

    from safer_clip.models.dual_encoder import DualEncoder

PICTURES_FILE = "pictures.jsonl"
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tiff"}


class PictureError(SaferClipError):
    """A picture cannot be had."""


@dataclass(frozen=True, slots=True)
class PicturePair:
    """The pictures of a pair.

    Attributes:
        id: of the candidate.
        unsafe: the unsafe picture's path in the benchmark's folder.
        take: which one was kept.
        takes: how many there were.
        alignment: cosine of the unsafe picture with its caption.
        judges: as those of :class:`~safer_clip.benchmark.measures.Measure`, of the safe and of the kept unsafe picture.
    """

    id: str
    unsafe: str
    take: int = 0
    takes: int = 0
    alignment: float = 0.0
    judges: SideScores = field(default_factory=dict)


@dataclass(frozen=True)
class Studio:
    """What makes and judges pictures.

    Attributes:
        folder: of the benchmark.
        generator: of unsafe pictures.
        encoder: tells how well a picture fits its caption.
        judges: of pictures.
    """

    folder: Path
    generator: Generator
    encoder: DualEncoder
    judges: Sequence[ImageJudge]

    def make(self, pairs: Sequence[tuple[Pair, Captioned]]) -> list[PicturePair]:
        """Make the pictures of pairs, write the best unsafe ones, and add to the journal; on disk when this returns."""
        made = [self._make_takes(pair) for pair, _ in pairs]
        ready = [(pair, item, takes) for (pair, item), takes in zip(pairs, made, strict=True) if takes]
        found = self._keep_best(ready) if ready else []  # what is absent now may be there when it is asked for again
        append_rows(self.folder / PICTURES_FILE, [_describe(each) for each in found])
        return found

    def _make_takes(self, pair: Pair) -> list[Image]:
        made = (self.generator.make(pair.candidate, pair.unsafe_caption, take) for take in range(self.generator.takes))
        return [picture.convert("RGB") for picture in made if picture is not None]

    def _keep_best(self, ready: Sequence[tuple[Pair, Captioned, list[Image]]]) -> list[PicturePair]:
        owners = np.repeat(np.arange(len(ready)), [len(takes) for _, _, takes in ready])
        pictures = [picture for _, _, takes in ready for picture in takes]
        texts = self.encoder.encode_texts([pair.unsafe_caption for pair, _, _ in ready])
        alignment = np.sum(self.encoder.encode_images(pictures) * texts[owners], axis=1)
        safe = score_all(self.judges, [decode_picture(load_safe(item)) for _, item, _ in ready])
        unsafe = score_all(self.judges, pictures)
        highest = np.max(list(unsafe.values()), axis=0) if unsafe else np.ones(len(pictures), np.float32)
        found = []
        for row, (pair, _, takes) in enumerate(ready):
            rows = np.flatnonzero(owners == row)
            best = _choose_take(rows, highest, alignment)
            name = f"images/unsafe/{name_file(pair.candidate.id)}.png"
            _write_png(self.folder / name, pictures[best])
            judges = {judge: tell_sides(safe[judge][row], unsafe[judge][best]) for judge in safe}
            told = (int(best - rows[0]), len(takes), round(float(alignment[best]), 4))
            found.append(PicturePair(pair.candidate.id, name, *told, judges))
        return found


def read_pictures(folder: Path) -> dict[str, PicturePair]:
    """What was made in a benchmark's folder so far, by id."""
    return {row["id"]: PicturePair(**row) for row in read_journal(folder / PICTURES_FILE)}


def load_safe(item: Captioned) -> bytes:
    """The encoded bytes of a source's picture.

    Raises:
        PictureError: it has none, or it cannot be read any more.
    """
    if item.load is None:
        raise PictureError(
            f"the source has no picture {item.id!r}; build a benchmark of captions with pictures.generator=none"
        )
    try:
        return item.load()
    except (OSError, ValueError) as error:
        raise PictureError(f"the picture {item.id!r} of the source cannot be read: {error}") from error


def copy_safe(folder: Path, item: Captioned) -> str:
    """Copy a source's picture into the benchmark's folder, byte by byte, unless it is there.

    Returns:
        Its path in the folder.
    """
    from PIL import Image

    target = f"images/safe/{name_file(item.id)}"
    there = next((suffix for suffix in SUFFIXES.values() if (folder / f"{target}{suffix}").is_file()), None)
    if there:
        return f"{target}{there}"
    content = load_safe(item)
    with Image.open(io.BytesIO(content)) as opened:
        suffix = SUFFIXES.get(opened.format or "", ".png")
    path = folder / f"{target}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return f"{target}{suffix}"


def decode_picture(content: bytes) -> Image:
    """Decode a picture as RGB."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB")


def _choose_take(rows: NDArray[np.intp], highest: NDArray[np.float32], alignment: NDArray[np.float32]) -> int:
    """Of the takes that a judge finds unsafe the one that fits its caption best; else the one nearest to unsafe."""
    unsafe = rows[highest[rows] >= 1]
    return int(unsafe[np.argmax(alignment[unsafe])] if len(unsafe) else rows[np.argmax(highest[rows])])


def _write_png(path: Path, picture: Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def _describe(pair: PicturePair) -> dict[str, object]:
    return {name: getattr(pair, name) for name in PicturePair.__slots__}
