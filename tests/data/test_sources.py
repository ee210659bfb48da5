from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict

from safer_clip.data import ColumnMap, Kind, read_quadruplets, read_saved, read_table
from safer_clip.errors import ConfigError, DataError

Row = dict[str, object]
Write = Callable[[Path, object], Path]
VISU = [{"safe": "a spoon", "nsfw": "a knife", "coco_id": 7, "tag": "violence"}]


def fail(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_quadruplets(path)
    assert caught.value.problems[0].file == str(path)
    return caught.value


def test_file(tmp_path: Path, rows: list[Row], write: Write) -> None:
    path = write(tmp_path / "t.jsonl", rows)
    assert read_quadruplets(path).report.rows_kept == 2
    with pytest.raises(ConfigError, match="coco_root and unsafe_root cannot be used"):
        read_quadruplets(path, coco_root=tmp_path, unsafe_root=tmp_path)


def test_visu(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "v.json", VISU)
    assert read_quadruplets(str(path)).table["unsafe_caption"][0] == "a knife"
    columns = ColumnMap(safe_caption="safe", unsafe_caption="nsfw")
    assert read_quadruplets(path, columns=columns, image_root=tmp_path).table["category"][0] == "violence"
    with pytest.raises(ConfigError, match="use coco_root"):
        read_quadruplets(path, image_root=tmp_path)


def test_folder(tmp_path: Path, rows: list[Row], write: Write) -> None:
    assert "or one table" in str(fail(tmp_path))
    write(tmp_path / "other.jsonl", rows)
    assert read_quadruplets(tmp_path).report.rows_kept == 2
    write(tmp_path / "another.json", rows)
    assert "found another.json, other.jsonl" in str(fail(tmp_path))
    write(tmp_path / "quadruplets.json", rows[:1])
    assert read_quadruplets(tmp_path).report.rows_kept == 1


def test_not_found(tmp_path: Path) -> None:
    assert fail(tmp_path / "none.csv").problems[0].kind == Kind.FILE_NOT_FOUND


def test_saved_table_survives(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows[0]["category"] = "skulls"
    table = read_table(write(tmp_path / "t.jsonl", rows)).table
    table.save_to_disk(str(tmp_path / "saved"))
    again = read_quadruplets(tmp_path / "saved").table
    assert again.features == table.features
    assert again["tag"][:] == ["skulls", "drug use"]
    assert again["category"][:] == ["unknown", "illegal activity"]
    assert again[0]["safe_image"].size == (8, 8)
    assert again[1]["unsafe_image"] is None
    with pytest.raises(ConfigError, match="a saved table"):
        read_quadruplets(tmp_path / "saved", coco_root=tmp_path)


def test_several_splits(tmp_path: Path, rows: list[Row], write: Write) -> None:
    table = read_table(write(tmp_path / "t.jsonl", rows)).table
    DatasetDict({"train": table, "test": table}).save_to_disk(str(tmp_path / "saved"))
    assert "name one of them: test, train" in str(fail(tmp_path / "saved"))
    assert read_quadruplets(tmp_path / "saved" / "test").report.rows_kept == 2


def test_broken_saved_table(tmp_path: Path) -> None:
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / name).write_text("{}")
    assert fail(tmp_path).problems[0].kind == Kind.BROKEN_FILE
    with pytest.raises(DataError):
        read_saved(tmp_path / "none")


def test_import_is_light() -> None:
    code = "import sys, safer_clip.data; print({'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
