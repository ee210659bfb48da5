"""Labels by modality: whether an unsafe side's caption and picture really came out unsafe (ViSUv2, arXiv 2609.39688)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safer_clip.reference import find_absent

if TYPE_CHECKING:
    from datasets import Dataset

_COLUMNS = {"text_unsafe": "captions", "image_unsafe": "pictures"}


@dataclass(frozen=True, slots=True)
class LabelRows:
    """Labels of a whole table: bool ``(n,)`` each."""

    text_unsafe: NDArray[np.bool_]
    image_unsafe: NDArray[np.bool_]


def read_labels(table: Dataset) -> LabelRows:
    """Read the labels of every row; one that is absent counts as unsafe."""
    return LabelRows(*(np.array([label is not False for label in _read(table, name)]) for name in _COLUMNS))


def tell_unlabelled(table: Dataset) -> str | None:
    """A sentence on the captions and pictures that count as unsafe for want of a label; ``None`` if all have one."""
    absent = find_absent(table)
    counts = {
        what: sum(label is None for label in _read(table, name))
        for name, what in _COLUMNS.items()
        if name.replace("image_unsafe", "unsafe_image") not in absent
    }
    told = [f"{count:,} of {len(table):,} {what}" for what, count in counts.items() if count]
    return f"No label on the unsafe side of {' and '.join(told)}: they count as unsafe" if told else None


def _read(table: Dataset, column: str) -> list[bool | None]:
    return list(table.select_columns(column).with_format(None)[column])
