"""Whether pairs, or nearly the same ones, are in a training set: what a model has seen cannot measure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safer_clip.benchmark.candidates import Captioned
from safer_clip.benchmark.deduplication import find_nearest, normalise_caption
from safer_clip.benchmark.images import decode_picture, load_safe
from safer_clip.benchmark.measures import Pair
from safer_clip.benchmark.remembering import encode_sorted
from safer_clip.benchmark.settings import LeakageSettings
from safer_clip.config import DataConfig
from safer_clip.journals import append_rows, read_journal
from safer_clip.models.dual_encoder import DualEncoder

LEAKAGE_FILE = "leakage.jsonl"
CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near a pair is to a training set.

    Attributes:
        id: of the candidate.
        unsafe_caption: of the pair.
        training: the set, as the settings name it.
        safe: highest cosine of the safe caption with one of the set; 1 if it is there word for word.
        unsafe: likewise of the unsafe caption.
        picture: likewise of the safe picture; ``None`` if pictures were not compared.
    """

    id: str
    unsafe_caption: str
    training: str
    safe: float
    unsafe: float
    picture: float | None = None

    def tell(self, settings: LeakageSettings) -> tuple[str, ...]:
        """Why the pair has leaked; empty if it has not."""
        found = {
            "safe caption in the training set": self.safe >= settings.near_duplicate,
            "unsafe caption in the training set": self.unsafe >= settings.near_duplicate,
            "picture in the training set": (self.picture or -1) >= settings.near_duplicate,
        }
        return tuple(reason for reason, applies in found.items() if applies)


def read_nearness(folder: Path, training: str) -> dict[tuple[str, str], Nearness]:
    """What was compared with a training set so far, by id and unsafe caption."""
    rows = (Nearness(**row) for row in read_journal(folder / LEAKAGE_FILE) if row["training"] == training)
    return {(row.id, row.unsafe_caption): row for row in rows}


def measure_nearness(
    folder: Path, pairs: Sequence[tuple[Pair, Captioned]], settings: LeakageSettings, encoder: DualEncoder
) -> None:
    """Compare pairs with the training set, and write down how near they are."""
    if settings.training is None or not pairs:
        return
    captions = load_captions(settings.training)
    sides = ([pair.candidate.caption for pair, _ in pairs], [pair.unsafe_caption for pair, _ in pairs])
    safe, unsafe = (_compare(own, theirs, encoder) for own, theirs in zip(sides, captions, strict=True))
    pictures = (
        _compare_pictures([item for _, item in pairs], settings, encoder) if settings.pictures else [None] * len(pairs)
    )
    append_rows(
        folder / LEAKAGE_FILE,
        [
            {
                "id": pair.candidate.id,
                "unsafe_caption": pair.unsafe_caption,
                "training": settings.training,
                "safe": round(float(safe[row]), 5),
                "unsafe": round(float(unsafe[row]), 5),
                "picture": picture,
            }
            for row, ((pair, _), picture) in enumerate(zip(pairs, pictures, strict=True))
        ],
    )


def load_captions(data: str) -> tuple[list[str], list[str]]:
    """The safe and the unsafe captions of quadruplets in any format; ``"miniature"`` is Mini-ViSU's training set.

    Raises:
        DataError: lists everything that is wrong with the input.
    """
    if data == "miniature":
        from safer_clip.miniature import draw_pairs

        pairs = draw_pairs("mini_visu", "train")
        return [pair.safe_caption for pair in pairs], [pair.unsafe_caption for pair in pairs]
    from safer_clip.data import ReadOptions, read_quadruplets

    table = read_quadruplets(data, options=ReadOptions(check_images="exists")).table
    return list(table["safe_caption"]), list(table["unsafe_caption"])


def _compare(own: Sequence[str], theirs: Sequence[str], encoder: DualEncoder) -> NDArray[np.float32]:
    embeddings = encoder.encode_texts(own)
    nearest = np.full(len(own), -1, np.float32)
    # a training set is seen once: its embeddings are not worth remembering
    plain = DualEncoder(encoder.model, encoder.tokenizer, encoder.processor, encoder.similarity)
    different = list(dict.fromkeys(theirs))
    for start in range(0, len(different), CHUNK):
        found = find_nearest(embeddings, encode_sorted(plain.encode_texts, different[start : start + CHUNK]))
        np.maximum(nearest, found, out=nearest)
    known = set(map(normalise_caption, theirs))
    exact = np.array([normalise_caption(text) in known for text in own], bool)
    return np.where(exact, np.float32(1), np.minimum(nearest, 1))


def _compare_pictures(items: Sequence[Captioned], settings: LeakageSettings, encoder: DualEncoder) -> list[float | None]:
    from safer_clip.tuning import load_data

    table = load_data(DataConfig(data=settings.training or ""))
    with_pictures = [row for row, item in enumerate(items) if item.load is not None]
    found: list[float | None] = [None] * len(items)
    if not with_pictures or table[0]["safe_image"] is None:
        return found
    own = np.concatenate(
        [
            encoder.encode_images([decode_picture(load_safe(items[row])) for row in with_pictures[start : start + 256]])
            for start in range(0, len(with_pictures), 256)
        ]
    )
    nearest = np.full(len(own), -1, np.float32)
    for start in range(0, len(table), 256):
        theirs = [picture.convert("RGB") for picture in table[start : start + 256]["safe_image"] if picture is not None]
        if theirs:
            np.maximum(nearest, find_nearest(own, encoder.encode_images(theirs)), out=nearest)
    for row, value in zip(with_pictures, nearest, strict=True):
        found[row] = round(float(value), 5)
    return found
