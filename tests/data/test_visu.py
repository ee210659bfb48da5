from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safer_clip.data import Kind, ReadOptions, read_quadruplets, read_visu
from safer_clip.errors import DataError

Row = dict[str, object]
Write = Callable[[Path, object], Path]


@pytest.fixture
def visu(picture: Callable[..., str]) -> list[Row]:
    picture("coco/train2017/000000000007.jpg")
    picture("coco/val2017/000000000008.jpg")
    picture("coco/test2017/000000000009.jpg")
    texts = [("a spoon", "a knife", "violance"), ("a juice", "a beer", "drug_use"), ("a cake", "a skull", "blood")]
    return [
        {
            "coco_id": 7 + i,
            "nsfw_im_path": picture(f"unsafe/x/{i}.png").removeprefix("unsafe/"),
            "safe": safe,
            "nsfw": nsfw,
            "tag": tag,
        }
        for i, (safe, nsfw, tag) in enumerate(texts)
    ]


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Any]:
    return {"coco_root": tmp_path / "coco", "unsafe_root": tmp_path / "unsafe"}


def keyed(rows: list[Row]) -> dict[str, Row]:
    return {str(i): row for i, row in enumerate(rows)}


@pytest.mark.parametrize("layout", ["keyed", "data keyed", "data list"])
def test_with_images(tmp_path: Path, visu: list[Row], roots: dict[str, Any], layout: str, write: Write) -> None:
    content: object = visu if layout == "data list" else keyed(visu)
    content = {"info": {"version": 1}, "data": content} if "data" in layout else content
    result = read_visu(write(tmp_path / "visu.json", content), **roots)
    table = result.table
    assert table["id"][:] == (["1", "2", "3"] if layout == "data list" else ["0", "1", "2"])
    assert table["category"][:] == ["violence", "illegal activity", "shocking"]
    assert table["tag"][0] == "violance"
    assert table[2]["safe_caption"] == "a cake"
    assert table[2]["unsafe_caption"] == "a skull"
    assert all(table[i][name].size == (8, 8) for i in range(3) for name in ("safe_image", "unsafe_image"))
    assert (result.report.safe_images_absent, result.report.unsafe_images_absent) == (0, 0)
    assert result.report.warnings == ()


def test_a_copy_that_is_complete_in_itself_needs_no_roots(tmp_path: Path, visu: list[Row], write: Write) -> None:
    (tmp_path / "coco").rename(tmp_path / "visu")
    (tmp_path / "unsafe" / "x").rename(tmp_path / "visu" / "x")
    write(tmp_path / "visu" / "visu_train.json", keyed(visu))
    result = read_quadruplets(tmp_path / "visu")
    assert (result.report.safe_images_absent, result.report.unsafe_images_absent) == (0, 0)
    assert result.table[1]["unsafe_image"].size == (8, 8)


def test_without_roots(tmp_path: Path, visu: list[Row], write: Write) -> None:
    report = read_visu(write(tmp_path / "visu.json", keyed(visu))).report
    assert (report.rows_kept, report.safe_images_absent, report.unsafe_images_absent) == (3, 3, 3)


def test_problems(tmp_path: Path, visu: list[Row], roots: dict[str, Any], write: Write) -> None:
    visu[0] |= {"coco_id": 99, "nsfw_im_path": "none.png"}
    visu[1] |= {"coco_id": "seven", "nsfw_im_path": 5}
    visu[2] |= {"coco_id": "000000000009", "nsfw": ""}
    path = write(tmp_path / "visu.json", keyed([*visu, {**visu[2], "safe": "a bun", "nsfw": "a"}]))
    with pytest.raises(DataError) as caught:
        read_visu(path, **roots)
    assert [(p.file, p.kind, p.row, p.field) for p in caught.value.problems] == [
        (str(path), Kind.MISSING_IMAGE, 1, "coco_id"),
        (str(path), Kind.MISSING_IMAGE, 1, "nsfw_im_path"),
        (str(path), Kind.WRONG_TYPE, 2, "coco_id"),
        (str(path), Kind.WRONG_TYPE, 2, "nsfw_im_path"),
        (str(path), Kind.EMPTY_CAPTION, 3, "nsfw"),
    ]
    assert "{train2017,val2017,test2017}/000000000099.jpg" in str(caught.value)
    report = read_visu(path, **roots, options=ReadOptions(max_bad_rows=3)).report
    assert (report.rows_kept, report.rows_dropped) == (1, 3)


def test_absent_images_are_counted(tmp_path: Path, visu: list[Row], roots: dict[str, Any], write: Write) -> None:
    visu[0] |= {"coco_id": None, "nsfw_im_path": None}
    report = read_visu(write(tmp_path / "visu.json", visu), **roots).report
    assert (report.safe_images_absent, report.unsafe_images_absent) == (1, 1)


@pytest.mark.parametrize("name", ["visu.json", "visu.jsonl"])
def test_text(tmp_path: Path, visu: list[Row], roots: dict[str, Any], name: str, write: Write) -> None:
    rows = [{"incremental_id": 10 + i, "prompt_id": 1, **row} for i, row in enumerate(visu)]
    for row in rows:
        del row["nsfw_im_path"]
    path = tmp_path / name
    write(path, rows)
    result = read_visu(path)
    assert result.table["id"][:] == ["10", "11", "12"]
    assert (result.report.safe_images_absent, result.report.unsafe_images_absent) == (3, 3)
    report = read_visu(path, coco_root=roots["coco_root"]).report
    assert (report.safe_images_absent, report.unsafe_images_absent) == (0, 3)
    with pytest.raises(DataError, match="there is no column 'nsfw_im_path'"):
        read_visu(path, **roots)


def test_missing_roots(tmp_path: Path, visu: list[Row], write: Write) -> None:
    with pytest.raises(DataError) as caught:
        read_visu(write(tmp_path / "v.json", visu), coco_root=tmp_path / "no", unsafe_root=tmp_path / "nor")
    places = [(p.kind, p.row, p.field) for p in caught.value.problems]
    assert places == [(Kind.FILE_NOT_FOUND, None, "coco_id"), (Kind.FILE_NOT_FOUND, None, "nsfw_im_path")]
