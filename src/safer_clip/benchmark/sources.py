"""Captioned pictures from whatever a path names.

- COCO's and NoCaps' JSON: ``images`` with ``id`` and ``file_name``, ``annotations`` with ``image_id`` and ``caption``.
- A table (``.jsonl``, ``.json``, ``.csv``, ``.parquet``) with a caption column, whose cells are texts or lists of them, and
  optionally an image column: paths, encoded bytes, or the structs of ``datasets.Image``. Rows with one picture belong
  together.
- A folder that ``datasets.Dataset.save_to_disk`` wrote, with such columns.
- A folder of pictures with ``metadata.jsonl``, ``.csv`` or ``.parquet`` (column ``file_name``, as ``datasets`` has it), or
  with a ``.txt`` of the same name beside each picture, a caption a line.
- ``"miniature"``: the endless scenes of :mod:`safer_clip.benchmark.world`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from safer_clip.benchmark.candidates import Captioned, CaptionedSet
from safer_clip.benchmark.settings import SourceSettings
from safer_clip.benchmark.source_rows import SourceRow, group_rows
from safer_clip.benchmark.world import caption_scene, draw_source_scene, encode_scene, name_scene
from safer_clip.data.classification import PICTURE_SUFFIXES
from safer_clip.data.loading import load_rows
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.errors import ConfigError

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def read_source(settings: SourceSettings, seed: int) -> CaptionedSet:
    """Read a source; the miniature gives ``settings.captions`` scenes, any other all it has.

    Raises:
        DataError: lists everything that is wrong with the input, pictures that are missing included.
        ConfigError: the settings do not fit the source.
    """
    if settings.data == "miniature":
        return _draw_miniature(settings, seed)
    path = Path(settings.data)
    log = ProblemLog(path)
    if path.is_dir():
        rows = _read_folder(path, settings, log)
    elif path.suffix.lower() == ".json" and (content := _peek_coco(path)) is not None:
        rows = _read_coco(content, settings.image_root or path.parent, settings.image_root is not None, log)
    else:
        rows = _read_table(path, settings, settings.image_root or path.parent, log)
    items = group_rows(rows, log)
    if not items and not log.errors:
        log.fail(Kind.EMPTY_FILE, "has no captioned picture")
    log.raise_if_errors()
    return CaptionedSet(path.resolve().name, items, _fingerprint(items))


def _draw_miniature(settings: SourceSettings, seed: int) -> CaptionedSet:
    if settings.captions is None:
        raise ConfigError("the miniature's scenes have no end; say how many to take with --captions")
    items = []
    for index in range(settings.captions):
        scene = draw_source_scene(seed, index)
        caption = caption_scene(scene, seed, index)
        items.append(Captioned(name_scene(index), (caption,), load=partial(encode_scene, scene)))
    return CaptionedSet("miniature", tuple(items), _fingerprint(items))


def _peek_coco(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # the reader of tables says what is wrong
    found = isinstance(content, dict) and {"images", "annotations"} <= set(content)
    return content if found else None


def _read_coco(content: dict[str, Any], root: Path, need_pictures: bool, log: ProblemLog) -> list[SourceRow]:
    files: dict[Any, str] = {}
    for number, image in enumerate(content["images"], start=1):
        if not isinstance(image, dict) or "id" not in image:
            log.error(Kind.MISSING_FIELD, "an image has no id", row=number, field="images")
            continue
        files[image["id"]] = str(image.get("file_name") or "")
    with_pictures = need_pictures or any(name and (root / name).is_file() for name in list(files.values())[:50])
    rows = []
    for number, note in enumerate(content["annotations"], start=1):
        if not isinstance(note, dict) or note.get("image_id") not in files:
            log.error(Kind.BROKEN_ROW, "an annotation belongs to no image", row=number, field="annotations")
            continue
        key, name = note["image_id"], files[note["image_id"]]
        picture = name if with_pictures and name else None
        rows.append(SourceRow(number, str(key), note.get("caption"), picture, root))
    return rows


def _read_folder(path: Path, settings: SourceSettings, log: ProblemLog) -> list[SourceRow]:
    if (path / "state.json").is_file() and (path / "dataset_info.json").is_file():
        return _read_saved(path, settings, log)
    named = [path / name for name in METADATA if (path / name).is_file()]
    if named:
        settings = settings.model_copy(update={"image_column": "file_name"})
        return _read_table(named[0], settings, path, log)
    return _read_sidecars(path, log)


def _read_sidecars(path: Path, log: ProblemLog) -> list[SourceRow]:
    pictures = sorted(each for each in path.rglob("*") if each.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        log.fail(Kind.UNSUPPORTED, f"holds neither pictures, nor {' or '.join(METADATA)}, nor a saved table")
    rows = []
    for number, picture in enumerate(pictures, start=1):
        beside = picture.with_suffix(".txt")
        name = picture.relative_to(path)
        if not beside.is_file():
            log.error(Kind.MISSING_FIELD, f"{name} has no caption in {beside.name}", row=number)
            continue
        lines = [line.strip() for line in beside.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        rows.append(SourceRow(number, str(name.with_suffix("")), lines, str(name), path))
    return rows


def _read_table(path: Path, settings: SourceSettings, root: Path, log: ProblemLog) -> list[SourceRow]:
    table_log = ProblemLog(path)
    raw = load_rows(path, table_log)
    table_log.raise_if_errors()
    caption = _find_caption_column(raw.columns, settings.caption_column, log)
    with_pictures = settings.image_column in raw.columns
    if not with_pictures and settings.image_column != SourceSettings.model_fields["image_column"].default:
        log.fail(Kind.MISSING_FIELD, f"there is no column {settings.image_column!r}")
    return [
        SourceRow(
            row.number,
            _identify(row.values.get("id"), row.key),
            row.values.get(caption),
            row.values.get(settings.image_column) if with_pictures else None,
            root,
        )
        for row in raw.rows
    ]


def _read_saved(path: Path, settings: SourceSettings, log: ProblemLog) -> list[SourceRow]:
    from datasets import Image, load_from_disk

    try:
        table = load_from_disk(str(path))
    except Exception as error:  # datasets names no class for its broken folders
        log.fail(Kind.BROKEN_FILE, f"cannot be read as a datasets folder: {error}")
    caption = _find_caption_column(table.column_names, settings.caption_column, log)
    image = settings.image_column if settings.image_column in table.column_names else None
    if image:
        table = table.cast_column(image, Image(decode=False))
    ids = table["id"] if "id" in table.column_names else [None] * len(table)
    return [
        SourceRow(n + 1, _identify(key, None), text, partial(_load_cell, table, image, n) if image else None, path)
        for n, (key, text) in enumerate(zip(ids, table[caption], strict=True))
    ]


def _load_cell(table: Any, column: str, row: int) -> Any:
    return table[row][column]


def _find_caption_column(columns: Iterable[str], wanted: str, log: ProblemLog) -> str:
    columns = list(columns)
    usual = wanted == SourceSettings.model_fields["caption_column"].default
    found: list[str] = [name for name in (wanted, *(("captions", "text") if usual else ())) if name in columns]
    if not found:
        log.fail(Kind.MISSING_FIELD, f"there is no column {wanted!r}; the columns are {', '.join(columns)}")
    return found[0]


def _identify(value: object, key: str | None) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else key


def _fingerprint(items: Iterable[Captioned]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for item in items:
        told: list[Any] = [item.id, item.captions]
        if item.path:
            told.append([item.path.name, item.path.stat().st_size])
        digest.update(json.dumps(told).encode() + b"\n")
    return digest.hexdigest()
