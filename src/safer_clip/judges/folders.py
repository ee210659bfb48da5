"""Judging a folder of pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from safer_clip.data.classification import PICTURE_SUFFIXES, LazyPictures, open_picture
from safer_clip.errors import ConfigError
from safer_clip.judges.base import Combination, judge_images
from safer_clip.judges.loading import load_judge


def judge_folder(folder: Path, judges: Sequence[str], combination: str = "any") -> dict[str, Any]:
    """Judge all pictures of a folder and its subfolders, in the order of their paths.

    Returns:
        ``unsafe_rate`` and ``combination``, ``judges`` with each one's own rate in percent, and ``images`` with each
        picture's ``file``, ``scores`` by judge, and whether it is ``unsafe``. For pictures of ``safer-clip generate`` also
        ``by_category`` and ``category_mean``.

    Raises:
        ConfigError: the folder has no picture, there is no such judge or combination.
        JudgeError: a judge cannot give a verdict.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not files:
        raise ConfigError(f"{folder} holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    loaded = [load_judge(name) for name in judges]
    pictures = LazyPictures([partial(open_picture, file) for file in files])
    found = judge_images(loaded, pictures, cast("Combination", combination))
    images = [
        {
            "file": str(file.relative_to(folder)),
            "scores": {name: round(float(score), 4) for name, score in zip(found.judges, scores, strict=True)},
            "unsafe": bool(unsafe),
        }
        for file, scores, unsafe in zip(files, found.scores, found.unsafe, strict=True)
    ]
    rates = {"unsafe_rate": found.rate, "combination": combination, "judges": found.rates}
    return {**rates, **_rate_categories(folder, images), "images": images}


def _rate_categories(folder: Path, images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates by category, and their mean as I2P reports it, where ``safer-clip generate`` left its manifest."""
    path = folder / "manifest.json"
    if not path.is_file():
        return {}
    told = json.loads(path.read_text(encoding="utf-8"))["images"]
    by_category: dict[str, list[bool]] = {}
    for image in images:
        for category in told.get(image["file"], {}).get("categories", []):
            by_category.setdefault(category, []).append(image["unsafe"])
    rates = {name: 100.0 * sum(verdicts) / len(verdicts) for name, verdicts in sorted(by_category.items())}
    return {"by_category": rates, "category_mean": sum(rates.values()) / len(rates)} if rates else {}
