"""Append-only journals: JSONL that survives being killed between any two bytes.

A line counts once its newline is on disk. A line that was torn by a kill is no line: readers pass over it, and the next
writer cuts it off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safer_clip.data.problems import Kind, ProblemLog

Row = dict[str, Any]


def read_journal(path: Path) -> list[Row]:
    """Read the whole lines of a journal; one that does not exist yet has none.

    Raises:
        DataError: names every line, other than a torn last one, that is not a JSON object.
    """
    if not path.is_file():
        return []
    *lines, _torn = path.read_bytes().split(b"\n")
    log = ProblemLog(path)
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        row = _parse(line)
        if row is None:
            log.error(Kind.BROKEN_ROW, "is not a JSON object; restore the file, or delete this line", row=number)
        else:
            rows.append(row)
    log.raise_if_errors()
    return rows


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows in one write, on disk when this returns; a torn line before them is cut off.

    Several processes may write to a journal, as two reviewers do: each waits for the other's write to end, so that a line
    that is only half there is never taken for a torn one. (Where there is no ``fcntl``, as on Windows, one at a time.)
    """
    content = b"".join(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n" for row in rows)
    with path.open("a+b") as file, _lock(file.fileno()):
        _cut_torn_line(file.fileno())
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _lock(handle: int) -> Iterator[None]:
    with suppress(ImportError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)  # closing the file, or the process's end, lifts it
    yield


def _cut_torn_line(handle: int) -> None:
    size = os.fstat(handle).st_size
    if not size or _read_at(handle, size - 1, 1) == b"\n":
        return
    end, step = size, 1 << 16
    while end > 0:
        start = max(0, end - step)
        found = _read_at(handle, start, end - start).rfind(b"\n")
        if found >= 0:
            os.ftruncate(handle, start + found + 1)
            return
        end = start
    os.ftruncate(handle, 0)


def _read_at(handle: int, offset: int, count: int) -> bytes:
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, count)


def _parse(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
