"""What can be wrong with an input, and the list that collects all of it before anybody is bothered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, NoReturn

from safer_clip.errors import DataError

Severity = Literal["error", "warning"]


class Kind(StrEnum):
    """The kinds of problems; each has its :attr:`advice`."""

    FILE_NOT_FOUND = "file not found"
    UNSUPPORTED = "unsupported format"
    BROKEN_FILE = "broken file"
    EMPTY_FILE = "empty file"
    BROKEN_ROW = "broken row"
    MISSING_FIELD = "missing field"
    WRONG_TYPE = "wrong type"
    EMPTY_CAPTION = "empty caption"
    MISSING_IMAGE = "missing image"
    UNREADABLE_IMAGE = "unreadable image"
    DUPLICATE_ROW = "duplicate row"
    DUPLICATE_ID = "duplicate id"
    REPEATED_CAPTION = "repeated caption"
    UNKNOWN_TAG = "unknown tag"

    @property
    def advice(self) -> str:
        """What to do next, in a sentence."""
        return _ADVICE[self]


_ADVICE = {
    Kind.FILE_NOT_FOUND: "check the path.",
    Kind.UNSUPPORTED: "convert the data to .jsonl, .json, .csv, .parquet or a datasets folder.",
    Kind.BROKEN_FILE: "write or download the file again.",
    Kind.EMPTY_FILE: "check that the file is the right one.",
    Kind.BROKEN_ROW: "mend or delete the row.",
    Kind.MISSING_FIELD: "rename the column, or name it with ColumnMap.",
    Kind.WRONG_TYPE: "write the value in the type that the message names.",
    Kind.EMPTY_CAPTION: "write both captions, or delete the row.",
    Kind.MISSING_IMAGE: "check the path and the folder that it starts from; leave it empty if there is no image.",
    Kind.UNREADABLE_IMAGE: "download or export the picture again.",
    Kind.DUPLICATE_ROW: "keep one of the rows.",
    Kind.DUPLICATE_ID: "give each row an id of its own.",
    Kind.REPEATED_CAPTION: "nothing, unless each caption should have one partner only.",
    Kind.UNKNOWN_TAG: "nothing, unless scores by category matter; see safer_clip.data.tags.",
}
# With these the rest of the input is unknown, so that no number of tolerated rows can make up for them.
_FATAL = {Kind.FILE_NOT_FOUND, Kind.UNSUPPORTED, Kind.BROKEN_FILE, Kind.EMPTY_FILE}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        file: the path of the input.
        row: 1-based data row; for CSV and JSONL the 1-based line on which the row starts; ``None`` for the whole file.
        field: the column under its name in the input, ``None`` for the whole row.
        message: what is wrong.
        severity: an ``"error"`` makes the row unusable, a ``"warning"`` does not.
        kind: what sort of problem it is; errors are counted by it.
    """

    file: str
    row: int | None
    field: str | None
    message: str
    severity: Severity = "error"
    kind: Kind = Kind.BROKEN_ROW

    @property
    def fatal(self) -> bool:
        """Whether dropping a row cannot help."""
        return self.severity == "error" and (self.row is None or self.kind in _FATAL)

    def __str__(self) -> str:
        """``table.csv, line 3, safe_image: no such file: ...``."""
        unit = "line" if Path(self.file).suffix.lower() in (".csv", ".jsonl") else "row"
        row = None if self.row is None else f"{unit} {self.row}"
        place = ", ".join(part for part in (self.file, row, self.field) if part)
        text = f"{place}: {'(warning) ' * (self.severity == 'warning')}{self.message}"
        return text.encode("utf-8", "backslashreplace").decode()  # broken text must not break its own report


class ProblemLog:
    """Collects the problems of one input.

    Args:
        file: the path that problems name unless they name another.
    """

    def __init__(self, file: Path | str) -> None:
        self.file = str(file)
        self._problems: list[Problem] = []

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems)

    def error(self, kind: Kind, message: str, *, row: int | None = None, field: str | None = None) -> None:
        """Note something that makes a row, or without a row the whole file, unusable."""
        self._problems.append(Problem(self.file, row, field, message, "error", kind))

    def fail(self, kind: Kind, message: str) -> NoReturn:
        """Note that the file is unusable, and raise everything that is known about it.

        Raises:
            DataError: always.
        """
        self.error(kind, message)
        raise DataError([*self.errors, *self.warnings])

    def warning(self, kind: Kind, message: str, *, row: int | None = None, field: str | None = None) -> None:
        """Note something that is worth knowing but can be used."""
        self._problems.append(Problem(self.file, row, field, message, "warning", kind))

    @property
    def errors(self) -> list[Problem]:
        """The errors, by row."""
        return self._select("error")

    @property
    def warnings(self) -> list[Problem]:
        """The warnings, by row."""
        return self._select("warning")

    def _select(self, severity: Severity) -> list[Problem]:
        chosen = [problem for problem in self._problems if problem.severity == severity]
        return sorted(chosen, key=lambda problem: problem.row or 0)

    @property
    def bad_rows(self) -> set[int]:
        """The rows that have an error."""
        return {problem.row for problem in self.errors if problem.row is not None}

    def raise_if_errors(self, max_bad_rows: int = 0) -> None:
        """Raise everything at once, unless at most ``max_bad_rows`` rows are bad and the file itself is sound.

        Raises:
            DataError: with all errors and warnings, by row.
        """
        errors = self.errors
        if any(problem.fatal for problem in errors) or len(self.bad_rows) > max_bad_rows:
            raise DataError([*errors, *self.warnings])
