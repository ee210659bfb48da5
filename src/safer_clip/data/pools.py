"""Pools of real unsafe items and safe distractors, for the unsafe retrieval rate.

A *manifest* is a ``.jsonl``, ``.json``, ``.csv`` or ``.parquet`` table with the columns ``unsafe`` (true or false),
``image`` (a path, from the manifest's folder on) and ``caption``; a row may have one of the two. Sources such as
NudeNet or SMID cannot be shipped: the user brings them, and distractors of their own choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safer_clip.data.classification import LazyPictures, open_picture
from safer_clip.data.loading import RawRow, load_rows, suggest
from safer_clip.data.problems import Kind, ProblemLog

COLUMNS = ("unsafe", "image", "caption")
_TRUE, _FALSE = {True, "true", "1", "yes"}, {False, "false", "0", "no"}


@dataclass(frozen=True)
class UnsafePool:
    """Items of one source; pictures are opened when they are looked at.

    Attributes:
        name: of the manifest.
        unsafe_images: queries of ``V*->T``, and what ``T*->V`` must not find.
        unsafe_texts: queries of ``T*->V``, and what ``V*->T`` must not find.
        safe_images: distractors.
        safe_texts: distractors.
    """

    name: str
    unsafe_images: LazyPictures
    unsafe_texts: tuple[str, ...]
    safe_images: LazyPictures
    safe_texts: tuple[str, ...]


def read_pool(path: Path | str) -> UnsafePool:
    """Read a manifest.

    Raises:
        DataError: lists everything that is wrong: columns, labels, pictures that are missing or unreadable, and sides
            without which neither direction can be measured.
    """
    path = Path(path)
    log = ProblemLog(path)
    raw = load_rows(path, log)
    _check_columns(raw.columns, log)
    images: dict[bool, list[Path]] = {True: [], False: []}
    texts: dict[bool, list[str]] = {True: [], False: []}
    for row in raw.rows:
        unsafe = _read_label(row, log)
        image, caption = _read_image(row, path.parent, log), _read_caption(row, log)
        if unsafe is None:
            continue
        if image is None and caption is None:
            log.error(Kind.BROKEN_ROW, "has neither an image nor a caption", row=row.number)
        images[unsafe] += [image] if image else []
        texts[unsafe] += [caption] if caption else []
    possible = (images[True] and texts[False]) or (texts[True] and images[False])
    if not possible and not log.errors:
        log.error(Kind.EMPTY_FILE, "needs unsafe images and safe captions, or unsafe captions and safe images")
    log.raise_if_errors()
    return UnsafePool(
        path.stem, _open_later(images[True]), tuple(texts[True]), _open_later(images[False]), tuple(texts[False])
    )


def _check_columns(found: list[str], log: ProblemLog) -> None:
    missing = [] if "unsafe" in found else ["unsafe"]
    missing += [] if {"image", "caption"} & set(found) else ["image or caption"]
    for name in missing:
        log.error(Kind.MISSING_FIELD, f"column {name} is missing{suggest(name, found)}")
    if missing:
        log.raise_if_errors()


def _read_label(row: RawRow, log: ProblemLog) -> bool | None:
    value = row.values.get("unsafe")
    value = value.strip().lower() if isinstance(value, str) else value
    for wanted, spellings in ((True, _TRUE), (False, _FALSE)):
        if isinstance(value, bool | int | str) and value in spellings:
            return wanted
    log.error(Kind.WRONG_TYPE, f"expected true or false, got {str(value)[:40]!r}", row=row.number, field="unsafe")
    return None


def _read_caption(row: RawRow, log: ProblemLog) -> str | None:
    value = row.values.get("caption")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        log.error(Kind.WRONG_TYPE, f"expected text, got {type(value).__name__}", row=row.number, field="caption")
        return None
    return value.strip() or None


def _read_image(row: RawRow, root: Path, log: ProblemLog) -> Path | None:
    from PIL import Image, UnidentifiedImageError

    value = row.values.get("image")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "://" in value:
        message = f"expected a path, got {str(value)[:60]!r}; fetch pictures first"
        log.error(Kind.WRONG_TYPE, message, row=row.number, field="image")
        return None
    path = root / value
    try:
        with Image.open(path):
            return path
    except FileNotFoundError:
        log.error(Kind.MISSING_IMAGE, f"no such file: {path}", row=row.number, field="image")
    except (OSError, UnidentifiedImageError) as error:
        log.error(Kind.UNREADABLE_IMAGE, str(error), row=row.number, field="image")
    return None


def _open_later(paths: list[Path]) -> LazyPictures:
    return LazyPictures([partial(open_picture, path) for path in paths])
