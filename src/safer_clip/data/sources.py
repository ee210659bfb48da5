"""Reading quadruplets from whatever a path names."""

from __future__ import annotations

from pathlib import Path

from safer_clip.data.loading import TABLE_SUFFIXES, load_rows
from safer_clip.data.nsfw_caps import is_nsfw_caps, read_raw_nsfw_caps
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.data.quadruplets import ReadResult
from safer_clip.data.reading import ColumnMap, ReadOptions
from safer_clip.data.tables import read_raw_table, read_saved
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
    """Read quadruplets from a table, a ViSU file or a folder.

    A folder may be one that ``datasets.Dataset.save_to_disk`` wrote, or hold a ``quadruplets`` table or a single table of
    any name. Unless ``columns`` is given, rows with ViSU's columns are read by :func:`~safer_clip.data.visu.read_visu`, and
    those with NSFW-Caps' by :func:`~safer_clip.data.nsfw_caps.read_raw_nsfw_caps`; all others by
    :func:`~safer_clip.data.tables.read_table`.

    Args:
        path: the file or folder.
        image_root: for tables, the folder that image paths start from; for NSFW-Caps, that of the safe images.
        columns: for tables, the source's column names.
        coco_root: for ViSU, COCO's folder; by default the JSON's own, if it holds one of COCO's.
        unsafe_root: for ViSU and NSFW-Caps, the folder of the unsafe images; for ViSU by default the JSON's own, if it holds
            any of them.
        options: how strictly to read.

    Raises:
        DataError: lists everything that is wrong, or says why the path cannot be understood.
        ConfigError: an argument belongs to the other kind of input.
    """
    path = Path(path)
    visu_only = {"coco_root": coco_root, "unsafe_root": unsafe_root}
    if path.is_dir() and _is_saved(path):
        _refuse(visu_only, "a saved table; use image_root")
        return read_saved(path, image_root=image_root, columns=columns, options=options)
    file = _choose_file(path) if path.is_dir() else path
    log = ProblemLog(file)
    raw = load_rows(file, log)
    if columns is None and is_visu(raw):
        _refuse({"image_root": image_root}, "ViSU; use coco_root and unsafe_root")
        beside_coco, beside_unsafe = find_roots(raw, file.parent)
        return read_raw_visu(raw, coco_root or beside_coco, unsafe_root or beside_unsafe, options, log)
    if columns is None and is_nsfw_caps(raw):
        _refuse({"coco_root": coco_root}, "NSFW-Caps; use image_root and unsafe_root")
        return read_raw_nsfw_caps(raw, image_root, unsafe_root, options, log)
    _refuse(visu_only, "a table; use image_root")
    return read_raw_table(raw, image_root or file.parent, columns, options, log)


def _refuse(arguments: dict[str, Path | str | None], reason: str) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ConfigError(f"{' and '.join(given)} cannot be used: the input is {reason}")


def _is_saved(folder: Path) -> bool:
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(item.name for item in folder.iterdir() if item.is_dir())
        message = f"holds several splits; name one of them: {', '.join(splits)}"
        ProblemLog(folder).fail(Kind.UNSUPPORTED, message)
    return all((folder / name).is_file() for name in ("state.json", "dataset_info.json"))


def _choose_file(folder: Path) -> Path:
    tables = sorted(item for item in folder.iterdir() if item.suffix.lower() in TABLE_SUFFIXES)
    named = [item for item in tables if item.stem == "quadruplets"]
    chosen = named or tables
    if len(chosen) != 1:
        found = f"; found {', '.join(item.name for item in chosen)}" if chosen else ""
        message = f"expected quadruplets.jsonl, .csv or .parquet, or one table, or a datasets folder{found}"
        ProblemLog(folder).fail(Kind.UNSUPPORTED, message)
    return chosen[0]
