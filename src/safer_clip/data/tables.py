"""Tables of quadruplets in everyday formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safer_clip.data.loading import RawRow, RawTable, load_rows
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.data.quadruplets import ReadResult
from safer_clip.data.reading import IMAGE_COLUMNS, ColumnMap, Plan, ReadOptions, read_rows

if TYPE_CHECKING:
    from datasets import Dataset


def read_table(
    path: Path | str,
    *,
    image_root: Path | str | None = None,
    columns: ColumnMap | None = None,
    options: ReadOptions | None = None,
) -> ReadResult:
    """Read a ``.jsonl``, ``.json`` (list of rows), ``.csv`` or ``.parquet`` file, UTF-8.

    Image columns hold paths under ``image_root``; Parquet may also hold the encoded bytes or the structs of
    ``datasets.Image``. An image may be absent (no column, null or empty) and is counted; a file that is named but not there
    is an error. Row numbers in problems are 1-based data rows, for CSV and JSONL the 1-based line on which the row starts.
    Without an ``id`` column the row number is the id.

    Args:
        path: the file.
        image_root: the folder that image paths start from; the file's own folder by default.
        columns: the file's column names, if they are not the standard ones.
        options: how strictly to read.

    Returns:
        The table in the columns of :data:`~safer_clip.data.quadruplets.QUADRUPLET_COLUMNS`, and the report.

    Raises:
        DataError: lists everything that is wrong.
    """
    path = Path(path)
    log = ProblemLog(path)
    return read_raw_table(load_rows(path, log), image_root or path.parent, columns, options, log)


def read_saved(
    folder: Path | str,
    *,
    image_root: Path | str | None = None,
    columns: ColumnMap | None = None,
    options: ReadOptions | None = None,
) -> ReadResult:
    """Read a folder that ``datasets.Dataset.save_to_disk`` wrote; otherwise as :func:`read_table`."""
    folder = Path(folder)
    log = ProblemLog(folder)
    return read_raw_table(load_saved(folder, log), image_root or folder, columns, options, log)


def take_apart(table: Dataset) -> RawTable:
    """Rows of a ``datasets`` table; pictures stay as they are stored, and are checked as all others."""
    from datasets import Image

    for name, feature in table.features.items():
        if isinstance(feature, Image):
            table = table.cast_column(name, Image(decode=False))
    rows = [RawRow(number, values) for number, values in enumerate(table.to_list(), start=1)]
    return RawTable(table.column_names, rows, len(rows))


def read_raw_table(
    raw: RawTable,
    image_root: Path | str,
    columns: ColumnMap | None,
    options: ReadOptions | None,
    log: ProblemLog,
) -> ReadResult:
    """Validate rows that are loaded already; raises as :func:`read_table`."""
    roots = dict.fromkeys(IMAGE_COLUMNS, Path(image_root))
    return read_rows(raw, Plan(columns or ColumnMap(), roots, options or ReadOptions()), log)


def load_saved(folder: Path, log: ProblemLog) -> RawTable:
    """Load a folder that ``datasets`` saved.

    Raises:
        DataError: it is damaged.
    """
    from datasets import load_from_disk

    try:
        return take_apart(load_from_disk(str(folder)))
    except Exception as error:  # datasets names no class for its broken folders
        log.fail(Kind.BROKEN_FILE, f"cannot be read as a datasets folder: {error}")
