from __future__ import annotations

import pytest

from safer_clip.data import Kind, Problem, ProblemLog
from safer_clip.errors import ConfigError, DataError, SaferClipError


def test_hierarchy() -> None:
    assert issubclass(DataError, SaferClipError)
    assert issubclass(ConfigError, SaferClipError)


def test_message_counts_and_advises() -> None:
    log = ProblemLog("table.csv")
    log.warning(Kind.UNKNOWN_TAG, "unknown tag 'x'", row=2, field="tag")
    log.error(Kind.EMPTY_CAPTION, "is empty", row=3, field="safe_caption")
    log.error(Kind.MISSING_IMAGE, "no such file: a.png", row=4, field="safe_image")
    with pytest.raises(DataError) as caught:
        log.raise_if_errors()
    text = str(caught.value)
    assert text.startswith("2 errors and 1 warning; nothing was read.")
    assert "1 x empty caption: write both captions" in text
    assert "table.csv, line 3, safe_caption: is empty" in text
    assert "table.csv, line 2, tag: (warning) unknown tag 'x'" in text
    assert text.index("line 4") < text.index("line 2")


def test_message_is_cut() -> None:
    error = DataError([Problem("t.json", row, "id", "is empty") for row in range(1, 24)])
    assert "t.json, row 20, id: is empty" in str(error)
    assert "row 21" not in str(error)
    assert str(error).endswith("... and 3 more")


def test_no_problems() -> None:
    assert "No problems" in str(DataError([]))


def test_every_kind_has_advice() -> None:
    assert all(kind.advice.endswith(".") for kind in Kind)


def test_broken_text_does_not_break_the_report() -> None:
    assert "\\ud800" in str(Problem("t.json", None, None, "\ud800"))


def test_log_tolerates_rows_but_not_files() -> None:
    log = ProblemLog("t.json")
    log.warning(Kind.UNKNOWN_TAG, "odd")
    log.raise_if_errors()
    log.error(Kind.EMPTY_CAPTION, "is empty", row=1)
    log.error(Kind.EMPTY_CAPTION, "is empty", row=1)
    log.raise_if_errors(max_bad_rows=1)
    with pytest.raises(DataError):
        log.raise_if_errors()
    log.error(Kind.MISSING_FIELD, "no column")
    with pytest.raises(DataError) as caught:
        log.raise_if_errors(max_bad_rows=9)
    assert len(caught.value.problems) == len(list(log)) == 4
