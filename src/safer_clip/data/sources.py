"""Reading quadruplets from whatever a path names."""

from __future__ import annotations

from pathlib import Path

from safer_clip.data.loading import TABLE_SUFFIXES, RawTable, load_rows
from safer_clip.data.nsfw_caps import is_nsfw_caps, read_raw_nsfw_caps
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.data.quadruplets import ReadResult
from safer_clip.data.reading import ColumnMap, ReadOptions
from safer_clip.data.repositories import is_repository, load_repository
from safer_clip.data.shards import find_shards, load_shards
from safer_clip.data.tables import load_saved, read_raw_table, take_apart
from safer_clip.data.visu import find_roots, is_visu, read_raw_visu
from safer_clip.errors import ConfigError


def read_quadruplets(
    path: Path | str,
    *,
    image_root: Path | str | None = None,
    columns: ColumnMap | None = None,
    coco_root: Path | str | None = None,
    unsafe_root: Path | str | None = None,
    options: ReadOptions | None = None,
) -> ReadResult:
    """Read quadruplets from a table, a ViSU file, a folder, or a repository of data on the Hugging Face hub.

    A folder may be one that ``datasets`` saved, or hold WebDataset shards (:mod:`~safer_clip.data.shards`), a table named
    ``quadruplets``, or a single table of any name. Rows with ViSU's columns are read by
    :func:`~safer_clip.data.visu.read_visu`, and those with NSFW-Caps' by
    :func:`~safer_clip.data.nsfw_caps.read_raw_nsfw_caps`, unless ``columns`` names captions; all others by
    :func:`~safer_clip.data.tables.read_table`.

    Args:
        path: the file or folder, or ``owner/name``.
        image_root: for tables, the folder that image paths start from; for NSFW-Caps, that of the safe images.
        columns: the source's column names; for ViSU, those of ViSUv2's labels.
        coco_root: for ViSU, COCO's folder; by default the JSON's own, if it holds one of COCO's.
        unsafe_root: for ViSU and NSFW-Caps, the folder of the unsafe images; for ViSU by default the JSON's own, if it holds
            any of them.
        options: how strictly to read, and which split.

    Raises:
        DataError: lists everything that is wrong, or says why the path cannot be understood.
        ConfigError: an argument belongs to the other kind of input.
    """
    log, raw, home = _load(path, (options or ReadOptions()).split)
    named = columns is not None and not _leaves_captions(columns)
    if not named and is_visu(raw):
        _refuse({"image_root": image_root}, "ViSU; use coco_root and unsafe_root")
        beside_coco, beside_unsafe = find_roots(raw, home)
        return read_raw_visu(raw, coco_root or beside_coco, unsafe_root or beside_unsafe, options, log, columns)
    if not named and is_nsfw_caps(raw):
        _refuse({"coco_root": coco_root}, "NSFW-Caps; use image_root and unsafe_root")
        return read_raw_nsfw_caps(raw, image_root, unsafe_root, options, log)
    _refuse({"coco_root": coco_root, "unsafe_root": unsafe_root}, "a table; use image_root")
    return read_raw_table(raw, image_root or home, columns, options, log)


def _load(source: Path | str, split: str | None) -> tuple[ProblemLog, RawTable, Path]:
    """The rows of a source, the log that takes what is wrong with them, and the folder that relative paths start from."""
    path = Path(source)
    if "://" in str(source):
        ProblemLog(str(source)).fail(Kind.UNSUPPORTED, "is an address; download the data, and name the file or folder")
    if not path.exists() and is_repository(str(source)):
        return ProblemLog(path), take_apart(load_repository(str(source), split)), Path()
    if path.is_dir() and (saved := _find_saved(path, split)):
        log = ProblemLog(saved)
        return log, load_saved(saved, log), saved
    if shards := find_shards(path):
        log = ProblemLog(path)
        return log, load_shards(shards, log), path if path.is_dir() else path.parent
    file = _choose_file(path) if path.is_dir() else path
    log = ProblemLog(file)
    return log, load_rows(file, log), file.parent


def _leaves_captions(columns: ColumnMap) -> bool:
    standard = ColumnMap()
    return all(columns.source(name) == standard.source(name) for name in ("safe_caption", "unsafe_caption"))


def _refuse(arguments: dict[str, Path | str | None], reason: str) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ConfigError(f"{' and '.join(given)} cannot be used: the input is {reason}")


def _find_saved(folder: Path, split: str | None) -> Path | None:
    """The saved table of a folder, or of the split of a folder that has several; ``None`` if nothing is saved there."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(item.name for item in folder.iterdir() if item.is_dir())
        if split not in splits:
            what = f"has no split {split!r}" if split else "holds several splits; name one of them with split"
            ProblemLog(folder).fail(Kind.UNSUPPORTED, f"{what}: {', '.join(splits)}")
        return folder / str(split)
    return folder if all((folder / name).is_file() for name in ("state.json", "dataset_info.json")) else None


def _choose_file(folder: Path) -> Path:
    tables = sorted(item for item in folder.iterdir() if item.suffix.lower() in TABLE_SUFFIXES)
    named = [item for item in tables if item.stem == "quadruplets"]
    chosen = named or tables
    if len(chosen) != 1:
        found = f"; found {', '.join(item.name for item in chosen)}" if chosen else ""
        message = f"expected quadruplets.jsonl, .csv or .parquet, one table, tar shards, or a datasets folder{found}"
        ProblemLog(folder).fail(Kind.UNSUPPORTED, message)
    return chosen[0]
