"""Files into raw rows: knows formats and row numbers, not what the fields mean."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safer_clip.data.problems import Kind, ProblemLog


@dataclass(frozen=True)
class RawRow:
    """A row as the file has it.

    Attributes:
        number: 1-based data row; for CSV and JSONL the line on which it starts.
        values: the cells by the source's column names.
        key: the row's key where the file is keyed, as ViSU's is.
    """

    number: int
    values: Mapping[str, object]
    key: str | None = None


@dataclass
class RawTable:
    """All rows of a file that could be taken apart.

    Attributes:
        columns: the names that occur, in order.
        rows: the rows.
        total: rows in the file, those that could not be taken apart included.
    """

    columns: list[str] = field(default_factory=list)
    rows: list[RawRow] = field(default_factory=list)
    total: int = 0

    def add(self, row: RawRow) -> None:
        """Append a row."""
        self.rows.append(row)
        self.total += 1


def load_rows(path: Path, log: ProblemLog) -> RawTable:
    """Take a file apart; broken rows are noted in the log and left out.

    Args:
        path: a ``.jsonl``, ``.json``, ``.csv`` or ``.parquet`` file.
        log: takes what is wrong.

    Raises:
        DataError: the file as a whole cannot be read, or has no rows.
    """
    loader = _LOADERS.get(path.suffix.lower())
    if not path.is_file():
        log.fail(Kind.FILE_NOT_FOUND, _explain_absence(path))
    if loader is None:
        log.fail(Kind.UNSUPPORTED, f"{path.suffix or 'no suffix'} is none of {', '.join(_LOADERS)}")
    table = _load(loader, path, log)
    if not table.total and not log.errors:
        log.fail(Kind.EMPTY_FILE, "has no rows")
    return table


def suggest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'safe_caption'?"``, or nothing if no name comes near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def _explain_absence(path: Path) -> str:
    if path.is_dir():
        return "is a folder, not a file; read_quadruplets reads folders"
    siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"there is no such file{suggest(path.name, siblings)}"


Loader = Callable[[Path, RawTable, ProblemLog], None]


def _load(loader: Loader, path: Path, log: ProblemLog) -> RawTable:
    table = RawTable()
    try:
        loader(path, table, log)
    # pyarrow's errors derive from ValueError or OSError, as do those of json and of decoding
    except (OSError, ValueError, RecursionError) as error:
        log.fail(Kind.BROKEN_FILE, f"cannot be read: {error}")
    if not table.columns:
        table.columns = list(dict.fromkeys(name for row in table.rows for name in row.values))
    return table


def _load_jsonl(path: Path, table: RawTable, log: ProblemLog) -> None:
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            _add_object(RawRow(number, json.loads(line)), table, log)
        except (ValueError, RecursionError) as error:
            table.total += 1
            log.error(Kind.BROKEN_ROW, f"is not JSON: {error}", row=number)


def _load_json(path: Path, table: RawTable, log: ProblemLog) -> None:
    content = json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf") or b"[]")
    if isinstance(content, dict) and isinstance(content.get("data"), dict | list):
        content = content["data"]
    if isinstance(content, list):
        rows = [RawRow(number, item) for number, item in enumerate(content, start=1)]
    elif isinstance(content, dict) and all(key.isdecimal() for key in content):
        rows = [RawRow(i, item, key) for i, (key, item) in enumerate(content.items(), start=1)]
    else:
        raise ValueError("expected a list of rows, rows keyed by integers, or either under 'data'")
    for row in rows:
        _add_object(row, table, log)


def _add_object(row: RawRow, table: RawTable, log: ProblemLog) -> None:
    if isinstance(row.values, dict):
        table.add(row)
        return
    table.total += 1
    found = type(row.values).__name__
    log.error(Kind.WRONG_TYPE, f"expected an object with named fields, got {found}", row=row.number)


def _load_csv(path: Path, table: RawTable, log: ProblemLog) -> None:
    text = path.read_bytes().decode("utf-8-sig")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        table.columns = _check_header(next(reader, []))
        start = reader.line_num + 1
        for cells in reader:
            _add_cells(start, cells, table, log)
            start = reader.line_num + 1
    except csv.Error as error:
        log.error(Kind.BROKEN_FILE, f"cannot be taken apart from here on: {error}", row=start)


def _check_header(names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the header names a column twice: {', '.join(repeated)}")
    return names


def _add_cells(number: int, cells: list[str], table: RawTable, log: ProblemLog) -> None:
    if not cells:
        return
    if len(cells) == len(table.columns):
        table.add(RawRow(number, dict(zip(table.columns, cells, strict=True))))
        return
    table.total += 1
    message = f"has {len(cells)} cells, the header {len(table.columns)}; a comma in a caption needs quotes"
    log.error(Kind.BROKEN_ROW, message, row=number)


def _load_parquet(path: Path, table: RawTable, _: ProblemLog) -> None:
    from pyarrow import parquet

    content = parquet.read_table(path)
    table.columns = list(content.column_names)
    for number, values in enumerate(content.to_pylist(), start=1):
        table.add(RawRow(number, values))


_LOADERS: dict[str, Loader] = {
    ".jsonl": _load_jsonl,
    ".json": _load_json,
    ".csv": _load_csv,
    ".parquet": _load_parquet,
}
TABLE_SUFFIXES = tuple(_LOADERS)
