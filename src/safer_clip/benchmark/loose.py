"""How similar the captions of a loosely paired set are, to report beside a benchmark's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from safer_clip.benchmark.stats import describe_similarities
from safer_clip.benchmark.workplace import Workplace
from safer_clip.files import write_json
from safer_clip.miniature.dice import Dice

if TYPE_CHECKING:
    from safer_clip.models.dual_encoder import DualEncoder

LOOSE_FILE = "loose.json"
ROWS = 1000


def read_loose(place: Workplace) -> dict[str, Any] | None:
    """What was measured of the loose set that the settings name, if it was."""
    path = place.folder / LOOSE_FILE
    if place.settings.loose is None or not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found["data"] == place.settings.loose else None


def measure_loose(place: Workplace, encoder: DualEncoder) -> dict[str, Any] | None:
    """Measure the loose set with the benchmark's encoder, once: at most 1,000 rows, drawn by the seed.

    Raises:
        DataError: lists everything that is wrong with the set.
    """
    data = place.settings.loose
    if data is None or (known := read_loose(place)):
        return known if data else None
    safe, unsafe = _load(data)
    rows = sorted(range(len(safe)), key=lambda row: Dice("loose", place.settings.seed, row).between(0, 2**40))[:ROWS]
    ends = [encoder.encode_texts([side[row] for row in rows]) for side in (safe, unsafe)]
    told = {"data": data, "rows": len(rows), **describe_similarities(np.sum(ends[0] * ends[1], axis=1).tolist())}
    write_json(place.folder / LOOSE_FILE, told)
    return told


def _load(data: str) -> tuple[list[str], list[str]]:
    if data == "miniature":
        from safer_clip.miniature import draw_pairs

        pairs = draw_pairs("mini_visu", "test")
        return [pair.safe_caption for pair in pairs], [pair.unsafe_caption for pair in pairs]
    from safer_clip.benchmark.leakage import load_captions

    return load_captions(data)
