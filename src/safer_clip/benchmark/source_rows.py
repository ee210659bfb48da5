"""Rows of a source, checked in full and grouped by picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safer_clip.benchmark.candidates import Captioned, LoadBytes
from safer_clip.data.pictures import Picture, check_pictures, parse_picture
from safer_clip.data.problems import Kind, ProblemLog


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as a source has it.

    Attributes:
        number: for problems.
        id: of the picture, or ``None`` to go by the picture's path or the row's number.
        caption: a text or a list of texts, if all is well.
        picture: a cell that :func:`~safer_clip.data.pictures.parse_picture` understands, or a function that gives one.
        root: folder that relative paths start from.
    """

    number: int
    id: str | None
    caption: object
    picture: object | Callable[[], object]
    root: Path


@dataclass
class _Group:
    number: int
    id: str
    captions: list[str] = field(default_factory=list)
    picture: Picture | None = None
    load: LoadBytes | None = None


def group_rows(rows: Sequence[SourceRow], log: ProblemLog) -> tuple[Captioned, ...]:
    """Check every row, and put the captions of one picture together, in the order of their first rows.

    Rows belong together if they name one id, or without ids one picture.
    """
    groups: dict[str, _Group] = {}
    for row in rows:
        captions = _read_captions(row, log)
        picture, load = _read_picture(row, log)
        key = row.id or (_name(picture, row.root) if picture and picture.path else None) or str(row.number)
        group = groups.setdefault(key, _Group(row.number, key, picture=picture, load=load))
        group.captions += captions
        if picture is not None and group.picture is not None and picture.key != group.picture.key:
            log.error(Kind.DUPLICATE_ID, f"row {group.number} has this id with another picture", row=row.number, field="id")
    _check_files(list(groups.values()), log)
    return tuple(
        Captioned(group.id, tuple(dict.fromkeys(group.captions)), group.picture.path if group.picture else None, group.load)
        for group in groups.values()
        if group.captions
    )


def read_cell(cell: object, root: Path) -> bytes:
    """The encoded bytes of a picture's cell."""
    picture = parse_picture(cell, root)
    if picture is None:
        raise ValueError("a picture that was there before is absent now")
    if picture.data is not None:
        return picture.data
    return picture.path.read_bytes() if picture.path else b""


def _read_captions(row: SourceRow, log: ProblemLog) -> list[str]:
    texts = [row.caption] if isinstance(row.caption, str) else row.caption
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        log.error(Kind.WRONG_TYPE, "expected a text or a list of texts", row=row.number, field="caption")
        return []
    found = [" ".join(text.split()) for text in texts if text.strip()]
    if not found:
        log.error(Kind.EMPTY_CAPTION, "is empty", row=row.number, field="caption")
    return found


def _read_picture(row: SourceRow, log: ProblemLog) -> tuple[Picture | None, LoadBytes | None]:
    if callable(row.picture):
        cell: Callable[[], Any] = row.picture
        return None, lambda: read_cell(cell(), row.root)
    try:
        picture = parse_picture(row.picture, row.root)
    except TypeError:
        log.error(Kind.WRONG_TYPE, "expected a path", row=row.number, field="image")
        return None, None
    if picture is None:
        return None, None
    return picture, lambda: read_cell(row.picture, row.root)


def _check_files(groups: Sequence[_Group], log: ProblemLog) -> None:
    flaws = check_pictures([group.picture for group in groups if group.picture], "header")
    for group in groups:
        if group.picture and group.picture.key in flaws:
            kind, message = flaws[group.picture.key]
            log.error(kind, message, row=group.number, field="image")


def _name(picture: Picture, root: Path) -> str:
    path = picture.path or Path()
    absolute = root.absolute()
    relative = path.relative_to(absolute) if path.is_relative_to(absolute) else Path(path.name)
    return str(relative.with_suffix(""))
