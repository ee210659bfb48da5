"""The table of quadruplets: one safe and one unsafe caption, one safe and one unsafe image a row.

The term and the four parts are those of ViSU (Safe-CLIP, ECCV 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safer_clip.data.pictures import Picture
from safer_clip.data.problems import Problem
from safer_clip.data.tags import UNKNOWN

if TYPE_CHECKING:
    from datasets import Dataset, Features

QUADRUPLET_COLUMNS: dict[str, str] = {
    "id": "string; unique",
    "safe_caption": "string; never empty",
    "unsafe_caption": "string; never empty",
    "safe_image": "image, or null where there is none",
    "unsafe_image": "image, or null where there is none",
    "category": 'string; a category of the taxonomy, or "unknown"',
    "tag": "string; the source's own word for the category, or null",
    "text_unsafe": "bool; whether the unsafe caption was labelled unsafe (as ViSUv2), or null",
    "image_unsafe": "bool; whether the unsafe image was labelled unsafe (as ViSUv2), or null",
}
"""The columns of every table of quadruplets, in order, with their meaning."""


def quadruplet_features() -> Features:
    """The ``datasets`` features of :data:`QUADRUPLET_COLUMNS`."""
    from datasets import Features, Image, Value

    types = {"safe_image": Image(), "unsafe_image": Image(), "text_unsafe": Value("bool")}
    types["image_unsafe"] = Value("bool")
    return Features({name: types.get(name, Value("string")) for name in QUADRUPLET_COLUMNS})


@dataclass(frozen=True)
class Quadruplet:
    """One row, in the columns of :data:`QUADRUPLET_COLUMNS`."""

    id: str
    safe_caption: str
    unsafe_caption: str
    safe_image: Picture | None = None
    unsafe_image: Picture | None = None
    category: str = UNKNOWN
    tag: str | None = None
    text_unsafe: bool | None = None
    image_unsafe: bool | None = None


def build_table(rows: Sequence[Quadruplet]) -> Dataset:
    """Put rows that are known to be sound into a table.

    Returns:
        ``len(rows)`` rows with :func:`quadruplet_features`; image files are referred to, not copied.
    """
    from datasets import Dataset

    columns = {name: [_store(getattr(row, name)) for row in rows] for name in QUADRUPLET_COLUMNS}
    return Dataset.from_dict(columns, features=quadruplet_features())


def _store(value: object) -> object:
    return value.as_struct() if isinstance(value, Picture) else value


@dataclass(frozen=True)
class ReadReport:
    """What reading found.

    Attributes:
        files: the input's path or paths.
        rows_read: rows in the input, good or bad.
        rows_kept: rows in the table.
        safe_images_absent: rows of the table without a safe image.
        unsafe_images_absent: rows of the table without an unsafe image.
        warnings: what can be used but is worth knowing.
        dropped: the errors of the rows that ``max_bad_rows`` allowed to drop.
    """

    files: tuple[str, ...]
    rows_read: int
    rows_kept: int
    safe_images_absent: int
    unsafe_images_absent: int
    warnings: tuple[Problem, ...] = ()
    dropped: tuple[Problem, ...] = ()

    @property
    def rows_dropped(self) -> int:
        """Bad rows that are not in the table."""
        return self.rows_read - self.rows_kept

    def summary(self) -> str:
        """The report as text, a line per finding."""
        lines = [f"Kept {self.rows_kept} of {self.rows_read} rows from {', '.join(self.files)}."]
        lines.append(f"Without a safe image: {self.safe_images_absent}.")
        lines.append(f"Without an unsafe image: {self.unsafe_images_absent}.")
        if self.dropped:
            lines.append(f"Dropped {self.rows_dropped} bad row{'s' * (self.rows_dropped != 1)}:")
            lines += [f"  {problem}" for problem in self.dropped]
        if self.warnings:
            lines.append("Warnings:")
            lines += [f"  {problem}" for problem in self.warnings]
        return "\n".join(lines)


@dataclass(frozen=True)
class ReadResult:
    """A table of quadruplets and what reading it found."""

    table: Dataset
    report: ReadReport
