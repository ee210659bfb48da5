"""The one path by which raw rows become quadruplets, whatever file they came from.

Every row is looked at in full before anything is built, so that one run tells everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from safer_clip.data.loading import RawRow, RawTable, suggest
from safer_clip.data.pictures import ImageCheck, Picture, check_pictures, parse_picture
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.data.quadruplets import Quadruplet, ReadReport, ReadResult, build_table
from safer_clip.data.tags import UNKNOWN, Taxonomy, categories, normalise_tag
from safer_clip.errors import ConfigError

ImageColumn = Literal["safe_image", "unsafe_image"]
IMAGE_COLUMNS: tuple[ImageColumn, ...] = ("safe_image", "unsafe_image")
CAPTION_COLUMNS = ("safe_caption", "unsafe_caption")

_BOOLS: dict[object, bool | None] = {
    **dict.fromkeys(("", "null", "none"), None),
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}


@dataclass(frozen=True)
class ReadOptions:
    """How strictly to read, and which part.

    Attributes:
        check_images: ``"exists"``, ``"header"`` or ``"decode"``; see :func:`~safer_clip.data.pictures.check_pictures`.
        max_bad_rows: up to so many rows with errors are dropped and reported instead of raised.
        taxonomy: the categories that tags are mapped to; see :mod:`safer_clip.data.tags`.
        split: of a saved data set or a repository that has several.

    Raises:
        ConfigError: a value is none of these.
    """

    check_images: ImageCheck = "header"
    max_bad_rows: int = 0
    taxonomy: Taxonomy = "i2p"
    split: str | None = None

    def __post_init__(self) -> None:
        categories(self.taxonomy)
        if self.check_images not in get_args(ImageCheck):
            allowed = ", ".join(get_args(ImageCheck))
            raise ConfigError(f"check_images is {self.check_images!r}; use one of {allowed}")
        if self.max_bad_rows < 0:
            raise ConfigError(f"max_bad_rows is {self.max_bad_rows}; use 0 or more")


@dataclass(frozen=True)
class ColumnMap:
    """The source's names for the columns of a quadruplet.

    ``safe_caption`` and ``unsafe_caption`` must be there, and so must each image column that is given another name than its
    own; the rest may be absent. ``tag`` is read where ``category`` is absent, empty or unknown.
    """

    id: str = "id"
    safe_caption: str = "safe_caption"
    unsafe_caption: str = "unsafe_caption"
    safe_image: str = "safe_image"
    unsafe_image: str = "unsafe_image"
    category: str = "category"
    text_unsafe: str = "text_unsafe"
    image_unsafe: str = "image_unsafe"
    tag: str = "tag"

    def source(self, column: str) -> str:
        """The source's name of a quadruplet's column."""
        return str(getattr(self, column))

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that must be there, under their own names."""
        return CAPTION_COLUMNS + tuple(name for name in IMAGE_COLUMNS if self.source(name) != name)


@dataclass(frozen=True)
class Plan:
    """How to understand one input.

    Attributes:
        columns: the source's column names.
        roots: the folder that each image column's relative paths start from.
        options: how strictly to read.
    """

    columns: ColumnMap
    roots: Mapping[ImageColumn, Path]
    options: ReadOptions = field(default_factory=ReadOptions)


def read_rows(raw: RawTable, plan: Plan, log: ProblemLog) -> ReadResult:
    """Validate all rows and build the table.

    Args:
        raw: the rows as the file has them.
        plan: how to understand them.
        log: the input's problems so far.

    Raises:
        DataError: the file is unusable, or more rows are bad than the options tolerate; lists all problems.
    """
    if raw.rows:
        _check_columns(raw.columns, plan.columns, log)
    reader = _RowReader(raw.columns, plan, log)
    numbered = [(row.number, reader.read(row)) for row in raw.rows]
    _check_tags(numbered, reader, log)
    _check_images(numbered, plan, log)
    _check_duplicates(numbered, plan.columns, log)
    log.raise_if_errors(plan.options.max_bad_rows)
    bad = log.bad_rows
    kept = [row for number, row in numbered if number not in bad]
    if not kept:
        log.fail(Kind.EMPTY_FILE, "no good row is left")
    return ReadResult(build_table(kept), _report(kept, raw.total, log))


def _report(kept: list[Quadruplet], total: int, log: ProblemLog) -> ReadReport:
    return ReadReport(
        files=(log.file,),
        rows_read=total,
        rows_kept=len(kept),
        safe_images_absent=sum(row.safe_image is None for row in kept),
        unsafe_images_absent=sum(row.unsafe_image is None for row in kept),
        warnings=tuple(log.warnings),
        dropped=tuple(log.errors),
    )


def _check_columns(found: list[str], columns: ColumnMap, log: ProblemLog) -> None:
    wanted = {name: columns.source(name) for name in ColumnMap.__dataclass_fields__}
    unused = [name for name in found if name not in wanted.values()]
    for name, source in wanted.items():
        if source in found:
            continue
        hint = suggest(source, unused)
        if name in columns.required:
            hint = hint or f"; the columns are {', '.join(found)}"
            log.error(Kind.MISSING_FIELD, f"there is no column {source!r}{hint}", field=source)
        elif hint:
            log.warning(Kind.MISSING_FIELD, f"there is no column {source!r}{hint}", field=source)


class _RowReader:
    """Turns raw rows into quadruplets; notes what is wrong and puts a blank in its place."""

    def __init__(self, found: Iterable[str], plan: Plan, log: ProblemLog) -> None:
        self.plan = plan
        self.log = log
        self.found = set(found)

    def read(self, row: RawRow) -> Quadruplet:
        """Read one row in full."""
        category, tag = self._categorise(row)
        quadruplet = Quadruplet(
            id=self._identify(row),
            safe_caption=self._caption(row, "safe_caption"),
            unsafe_caption=self._caption(row, "unsafe_caption"),
            safe_image=self._picture(row, "safe_image"),
            unsafe_image=self._picture(row, "unsafe_image"),
            category=category,
            tag=tag,
            text_unsafe=self._flag(row, "text_unsafe"),
            image_unsafe=self._flag(row, "image_unsafe"),
        )
        self._check_text(row, quadruplet)
        return quadruplet

    def _check_text(self, row: RawRow, quadruplet: Quadruplet) -> None:
        # JSON can spell half a surrogate pair, which no table can store
        for column in ("id", *CAPTION_COLUMNS, "tag"):
            text = getattr(quadruplet, column) or ""
            if text != text.encode("utf-8", "replace").decode():
                self._error(row, column, Kind.WRONG_TYPE, "expected Unicode text, got half a surrogate pair")

    def has(self, column: str) -> bool:
        """Whether the source has this column in any row."""
        return self.plan.columns.source(column) in self.found

    def _value(self, row: RawRow, column: str) -> object:
        return row.values.get(self.plan.columns.source(column))

    def _error(self, row: RawRow, column: str, kind: Kind, message: str) -> None:
        self.log.error(kind, message, row=row.number, field=self.plan.columns.source(column))

    def _wrong_type(self, row: RawRow, column: str, expected: str) -> None:
        value = self._value(row, column)
        self._error(
            row,
            column,
            Kind.WRONG_TYPE,
            f"expected {expected}, got {type(value).__name__} {str(value)[:40]!r}",
        )

    def _identify(self, row: RawRow) -> str:
        if not self.has("id"):
            return row.key or str(row.number)
        value = self._value(row, "id")
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is None or value == "":
            self._error(row, "id", Kind.MISSING_FIELD, "is empty; give each row an id, or leave the column out")
        elif not isinstance(value, str):
            self._wrong_type(row, "id", "a string or an integer")
        return value if isinstance(value, str) else ""

    def _caption(self, row: RawRow, column: str) -> str:
        value = self._value(row, column)
        if isinstance(value, str) and value.strip():
            return value
        if not self.has(column):  # reported once, for the whole file
            return ""
        if self.plan.columns.source(column) not in row.values:
            self._error(row, column, Kind.MISSING_FIELD, "is missing")
        elif value is None or isinstance(value, str):
            self._error(row, column, Kind.EMPTY_CAPTION, "is empty")
        else:
            self._wrong_type(row, column, "a string")
        return ""

    def _picture(self, row: RawRow, column: ImageColumn) -> Picture | None:
        try:
            value = self._value(row, column)
            if isinstance(value, str) and "://" in value:
                self._error(row, column, Kind.WRONG_TYPE, f"is an address, {value.strip()[:60]!r}; fetch pictures first")
                return None
            return parse_picture(value, self.plan.roots[column])
        except TypeError:
            self._wrong_type(row, column, "a path")
            return None

    def _flag(self, row: RawRow, column: str) -> bool | None:
        value = self._value(row, column)
        if value is None or isinstance(value, bool):
            return value
        text = str(value).strip().lower() if isinstance(value, str | int) else None
        if text not in _BOOLS:
            self._wrong_type(row, column, "true, false or nothing")
        return _BOOLS.get(text)

    def _categorise(self, row: RawRow) -> tuple[str, str | None]:
        texts = [self._text(row, column) for column in ("category", "tag")]
        normalise = partial(normalise_tag, taxonomy=self.plan.options.taxonomy)
        known = [name for name in map(normalise, texts) if name]
        return known[0] if known else UNKNOWN, texts[1] or texts[0]

    def _text(self, row: RawRow, column: str) -> str | None:
        value = self._value(row, column)
        if value is None or isinstance(value, str):
            return value.strip() or None if value else None
        self._wrong_type(row, column, "a string")
        return None


Numbered = list[tuple[int, Quadruplet]]


def _check_tags(numbered: Numbered, reader: _RowReader, log: ProblemLog) -> None:
    if not (reader.has("category") or reader.has("tag")):
        return
    rows: dict[str | None, list[int]] = {}
    for number, row in numbered:
        if row.category == UNKNOWN and row.tag != UNKNOWN:
            rows.setdefault(row.tag, []).append(number)
    field = reader.plan.columns.source("category" if reader.has("category") else "tag")
    for tag, numbers in rows.items():
        what = "there is no tag" if tag is None else f"unknown tag {tag!r}"
        message = f"{what}: category {UNKNOWN!r} (rows: {len(numbers)}, this first)"
        log.warning(Kind.UNKNOWN_TAG, message, row=numbers[0], field=field)


def _check_images(numbered: Numbered, plan: Plan, log: ProblemLog) -> None:
    columns = [name for name in IMAGE_COLUMNS if _check_root(name, numbered, plan, log)]
    named = list(_iterate_pictures(numbered, columns))
    flaws = check_pictures((picture for _, _, picture in named), plan.options.check_images)
    for number, column, picture in named:
        if picture.key in flaws:
            kind, message = flaws[picture.key]
            log.error(kind, message, row=number, field=plan.columns.source(column))


def _check_root(column: ImageColumn, numbered: Numbered, plan: Plan, log: ProblemLog) -> bool:
    # one missing folder is one problem, not one a row
    root = plan.roots[column]
    if root.is_dir() or all(getattr(row, column) is None for _, row in numbered):
        return True
    message = f"there is no folder {root}, which its paths start from"
    log.error(Kind.FILE_NOT_FOUND, message, field=plan.columns.source(column))
    return False


def _iterate_pictures(numbered: Numbered, columns: Iterable[ImageColumn]) -> Iterator[tuple[int, ImageColumn, Picture]]:
    for number, row in numbered:
        for column in columns:
            picture = row.safe_image if column == "safe_image" else row.unsafe_image
            if picture is not None:
                yield number, column, picture


def _check_duplicates(numbered: Numbered, columns: ColumnMap, log: ProblemLog) -> None:
    ids: dict[str, int] = {}
    contents: dict[tuple[str | None, ...], int] = {}
    unique: Numbered = []
    for number, row in numbered:
        first = ids.setdefault(row.id, number)
        if row.id and first != number:
            message = f"row {first} has the id {row.id!r} already"
            log.error(Kind.DUPLICATE_ID, message, row=number, field=columns.id)
        first = contents.setdefault(_content(row), number)
        if first == number:
            unique.append((number, row))
        elif row.safe_caption and row.unsafe_caption:
            message = f"row {first} has the same captions and images"
            log.error(Kind.DUPLICATE_ROW, message, row=number, field=columns.safe_caption)
    for column in CAPTION_COLUMNS:
        _check_repeats(unique, column, columns, log)


def _content(row: Quadruplet) -> tuple[str | None, ...]:
    keys = [picture.key if picture else None for picture in (row.safe_image, row.unsafe_image)]
    return row.safe_caption, row.unsafe_caption, *keys


def _check_repeats(unique: Numbered, column: str, columns: ColumnMap, log: ProblemLog) -> None:
    # legitimate in ViSU, whose COCO captions recur, but then retrieval has more than one right answer
    seen: set[str] = set()
    repeats = []
    for number, row in unique:
        caption = getattr(row, column)
        if caption and caption in seen:
            repeats.append(number)
        seen.add(caption)
    if repeats:
        message = f"an earlier caption is repeated with another partner (rows: {len(repeats)}, this first)"
        log.warning(Kind.REPEATED_CAPTION, message, row=repeats[0], field=columns.source(column))
