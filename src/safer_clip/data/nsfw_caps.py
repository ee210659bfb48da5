"""NSFW-Caps as its authors released it: two captions, a category and the address of the safe image.

Columns ``image_coco_url, caption, nsfw_caption, chosen_category`` (SafeR-CLIP, arXiv 2511.16743). The unsafe images
are not released, and nothing is downloaded here: a picture is looked for under the name that ends its address, in
folders that the user filled.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from safer_clip.data.loading import RawRow, RawTable
from safer_clip.data.pictures import COMMON_SUFFIXES
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.data.quadruplets import ReadResult
from safer_clip.data.reading import ColumnMap, Plan, ReadOptions, read_rows

COLUMNS = ("caption", "nsfw_caption")


def is_nsfw_caps(raw: RawTable) -> bool:
    """Whether rows are NSFW-Caps': its caption columns are there, and the standard ones are not."""
    found = set(raw.columns)
    return set(COLUMNS) <= found and not {"safe_caption", "unsafe_caption"} & found


def read_raw_nsfw_caps(
    raw: RawTable,
    image_root: Path | str | None,
    unsafe_root: Path | str | None,
    options: ReadOptions | None,
    log: ProblemLog,
) -> ReadResult:
    """Validate rows that are loaded already.

    The id is the row's ``id`` where it has one, else the stem of its address, else its number.

    Args:
        raw: the rows.
        image_root: folder of the safe images, under the names that end their addresses. Without it they are absent.
        unsafe_root: folder of unsafe images, with the safe one's stem and any common suffix. Without it they are absent.
        options: how strictly to read.
        log: takes what is wrong.

    Raises:
        DataError: lists everything that is wrong.
    """
    safe, unsafe = (None if root is None else Path(root) for root in (image_root, unsafe_root))
    rows = [replace(row, values=_adapt(row, safe, unsafe, log)) for row in raw.rows]
    columns = ColumnMap(safe_caption="caption", unsafe_caption="nsfw_caption", category="chosen_category")
    plan = Plan(columns, {"safe_image": safe or Path(), "unsafe_image": unsafe or Path()}, options or ReadOptions())
    names = list(dict.fromkeys([*raw.columns, "id", "safe_image", "unsafe_image"]))
    return read_rows(RawTable(names, rows, raw.total), plan, log)


def _adapt(row: RawRow, safe: Path | None, unsafe: Path | None, log: ProblemLog) -> dict[str, Any]:
    address = row.values.get("image_coco_url")
    name = ""
    if isinstance(address, str):
        name = PurePosixPath(unquote(urlparse(address.strip()).path)).name
    elif address is not None:
        message = f"expected an address, got {type(address).__name__}"
        log.error(Kind.WRONG_TYPE, message, row=row.number, field="image_coco_url")
    stem = PurePosixPath(name).stem
    return {
        **row.values,
        "id": row.values.get("id") or stem or str(row.number),
        "safe_image": name if safe and name else None,
        "unsafe_image": _find_unsafe(unsafe, stem) if unsafe and stem else None,
    }


def _find_unsafe(root: Path, stem: str) -> str:
    found = next((f"{stem}{suffix}" for suffix in COMMON_SUFFIXES if (root / f"{stem}{suffix}").is_file()), None)
    return found or f"{stem}.{{{','.join(suffix[1:] for suffix in COMMON_SUFFIXES)}}}"  # tells what was looked for
