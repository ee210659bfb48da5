"""ViSU, the quadruplets of Safe-CLIP (Poppi et al., Safe-CLIP, ECCV 2024), in its own layouts.

*ViSU with images*, as Safe-CLIP's code reads it: JSON keyed by an integer string, ``{"0": {...}, ...}``, or
``{"info": ..., "data": {...} or [...]}``; rows have ``coco_id, nsfw_im_path, safe, nsfw, tag``. The safe image is COCO's
``%012d.jpg``, the unsafe one lies at ``nsfw_im_path`` under a folder of its own.

*ViSU-Text*, as published: a JSON list or JSONL of ``incremental_id, safe, nsfw, coco_id, tag``, without unsafe images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safer_clip.data.loading import RawRow, RawTable, load_rows
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.data.quadruplets import ReadResult
from safer_clip.data.reading import ColumnMap, Plan, ReadOptions, read_rows

COCO_FOLDERS = ("train2017", "val2017", "test2017")
COCO_DIGITS = 12
_NO_ROOT = Path()


def read_visu(
    path: Path | str,
    *,
    coco_root: Path | str | None = None,
    unsafe_root: Path | str | None = None,
    options: ReadOptions | None = None,
) -> ReadResult:
    """Read ViSU with images or ViSU-Text; which of them is seen from the rows.

    The id is ``incremental_id``, else the row's key, else its number. Row numbers in problems are the 1-based position in
    the file, for JSONL the line.

    Args:
        path: the JSON or JSONL file.
        coco_root: COCO's folder, which holds ``train2017``, ``val2017`` or ``test2017``; all are searched. Without it the
            safe images are absent.
        unsafe_root: the folder that ``nsfw_im_path`` starts from. Without it the unsafe images are absent.
        options: how strictly to read.

    Returns:
        The table in the columns of :data:`~safer_clip.data.quadruplets.QUADRUPLET_COLUMNS`, and the report.

    Raises:
        DataError: lists everything that is wrong.
    """
    path = Path(path)
    log = ProblemLog(path)
    return read_raw_visu(load_rows(path, log), coco_root, unsafe_root, options, log)


def is_visu(raw: RawTable) -> bool:
    """Whether rows are ViSU's: its caption columns are there, and the standard ones are not."""
    found = set(raw.columns)
    return {"safe", "nsfw"} <= found and not {"safe_caption", "unsafe_caption"} & found


def find_roots(raw: RawTable, folder: Path) -> tuple[Path | None, Path | None]:
    """The folders of a copy of ViSU that is complete in itself: what lies beside its JSON.

    Returns:
        ``(coco_root, unsafe_root)``: ``folder`` where it holds a COCO folder, and where it holds an unsafe image of a row;
        ``None`` where not.
    """
    coco = folder if any((folder / name).is_dir() for name in COCO_FOLDERS) else None
    named = (row.values.get("nsfw_im_path") for row in raw.rows)
    unsafe = folder if any(isinstance(path, str) and path and (folder / path).is_file() for path in named) else None
    return coco, unsafe


def read_raw_visu(
    raw: RawTable,
    coco_root: Path | str | None,
    unsafe_root: Path | str | None,
    options: ReadOptions | None,
    log: ProblemLog,
    labels: ColumnMap | None = None,
) -> ReadResult:
    """Validate rows that are loaded already; raises as :func:`read_visu`.

    ``labels`` names the columns of ViSUv2's two labels, ``text_unsafe`` and ``image_unsafe``, if they are called otherwise.
    """
    labels = labels or ColumnMap()
    coco = None if coco_root is None else Path(coco_root)
    rows = [replace(row, values=_adapt(row, coco, unsafe_root is not None, log)) for row in raw.rows]
    columns = ColumnMap(
        id="incremental_id",
        safe_caption="safe",
        unsafe_caption="nsfw",
        safe_image="safe_image" if coco is None else "coco_id",
        unsafe_image="unsafe_image" if unsafe_root is None else "nsfw_im_path",
        category="tag",
        text_unsafe=labels.text_unsafe,
        image_unsafe=labels.image_unsafe,
    )
    unsafe = _NO_ROOT if unsafe_root is None else Path(unsafe_root)
    plan = Plan(columns, {"safe_image": coco or _NO_ROOT, "unsafe_image": unsafe}, options or ReadOptions())
    return read_rows(RawTable(raw.columns, rows, raw.total), plan, log)


def _adapt(row: RawRow, coco: Path | None, has_unsafe: bool, log: ProblemLog) -> Mapping[str, object]:
    """Put the path of the COCO picture in the place of its number."""
    values = {**row.values, "safe_image": None, "unsafe_image": None}
    if coco is not None:
        values["coco_id"] = _locate(row, coco, log)
    path = values.get("nsfw_im_path")
    if has_unsafe and path is not None and not isinstance(path, str):
        message = f"expected a path, got {type(path).__name__}"
        log.error(Kind.WRONG_TYPE, message, row=row.number, field="nsfw_im_path")
        values["nsfw_im_path"] = None
    return values


def _locate(row: RawRow, coco: Path, log: ProblemLog) -> Path | None:
    value = row.values.get("coco_id")
    if value is None or value == "":
        return None
    number = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (number.isdecimal() and len(number) <= COCO_DIGITS):
        message = f"expected COCO's number of the image, got {str(value)[:40]!r}"
        log.error(Kind.WRONG_TYPE, message, row=row.number, field="coco_id")
        return None
    name = f"{int(number):0{COCO_DIGITS}d}.jpg"
    places = (Path(folder, name) for folder in COCO_FOLDERS)
    # not found: a path that tells in the message where it was looked for
    return next((place for place in places if (coco / place).is_file()), Path(f"{{{','.join(COCO_FOLDERS)}}}", name))
