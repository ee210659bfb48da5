from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict
from PIL import Image as PictureImage

from safer_clip.data import ColumnMap, Kind, ReadOptions, read_quadruplets, read_saved, read_table
from safer_clip.errors import ConfigError, DataError
from safer_clip.miniature import load_encoder
from safer_clip.reference import encode_table

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
    assert "one table, tar shards" in str(fail(tmp_path))
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
    with pytest.raises(ConfigError, match="a table; use image_root"):
        read_quadruplets(tmp_path / "saved", coco_root=tmp_path)


def test_several_splits(tmp_path: Path, rows: list[Row], write: Write) -> None:
    table = read_table(write(tmp_path / "t.jsonl", rows)).table
    DatasetDict({"train": table, "test": table}).save_to_disk(str(tmp_path / "saved"))
    assert "name one of them with split: test, train" in str(fail(tmp_path / "saved"))
    assert read_quadruplets(tmp_path / "saved" / "test").report.rows_kept == 2
    chosen = read_quadruplets(tmp_path / "saved", options=ReadOptions(split="train"))
    assert chosen.report.rows_kept == 2
    with pytest.raises(DataError, match="has no split 'dev': test, train"):
        read_quadruplets(tmp_path / "saved", options=ReadOptions(split="dev"))


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


@pytest.fixture
def hub(monkeypatch, tmp_path, rows, write):
    """A hub with one repository of one split and one of two, by what ``datasets`` would give."""
    table = read_table(write(tmp_path / "t.jsonl", rows)).table
    held = {"me/one": DatasetDict({"train": table}), "me/two": DatasetDict({"train": table, "test": table.select([1])})}

    def load(repo):
        if repo not in held:
            raise ConnectionError("no route\nmore")
        return held[repo]

    monkeypatch.setattr("datasets.load_dataset", load)


def test_a_repository_is_read_as_a_folder_is(hub) -> None:
    found = read_quadruplets("me/one")
    assert found.table["id"][:] == ["a", "b"]
    assert found.table[0]["safe_image"].size == (8, 8)
    assert read_quadruplets("me/two", options=ReadOptions(split="test")).table["id"][:] == ["b"]


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("me/two", None, "name one with split: train, test"),
        ("me/two", "dev", "no split 'dev': train, test"),
        ("me/none", None, "no such path, and the hub did not give it: no route$"),
    ],
)
def test_a_repository_that_cannot_be_read(hub, name, split, message) -> None:
    with pytest.raises(DataError) as caught:
        read_quadruplets(name, options=ReadOptions(split=split))
    assert re.search(message, str(caught.value), re.MULTILINE)


def test_labels_of_visu_may_have_any_name(tmp_path: Path, write: Write) -> None:
    labelled = [{"safe": "a spoon", "nsfw": "a knife", "tag": "weapons", "bad_text": 1, "bad_image": 0}]
    columns = ColumnMap(text_unsafe="bad_text", image_unsafe="bad_image")
    (row,) = read_quadruplets(write(tmp_path / "v2.json", labelled), columns=columns).table
    assert (row["text_unsafe"], row["image_unsafe"], row["category"]) == (True, False, "violence")


def test_addresses_are_no_files(tmp_path: Path, rows: list[Row], write: Write) -> None:
    with pytest.raises(DataError, match="is an address; download the data"):
        read_quadruplets("https://example.org/quadruplets.jsonl")
    rows[0]["safe_image"] = "https://example.org/a.png"
    with pytest.raises(DataError, match=r"line 1, safe_image: is an address, 'https://example\.org/a\.png'; fetch"):
        read_quadruplets(write(tmp_path / "t.jsonl", rows))


def test_pictures_of_any_size_and_kind_go_through_one_model(tmp_path: Path, write: Write) -> None:
    sizes = {"L": (40, 10), "RGBA": (7, 90), "P": (200, 200), "CMYK": (3, 3)}
    lines = []
    for kind, size in sizes.items():
        name = f"{kind}.{'jpg' if kind == 'CMYK' else 'png'}"
        PictureImage.new(kind, size).save(tmp_path / name)
        captions = {"safe_caption": f"a spoon {kind}", "unsafe_caption": f"a knife {kind}"}
        lines.append({"id": kind, **captions, "safe_image": name, "unsafe_image": name})
    table = read_quadruplets(write(tmp_path / "t.jsonl", lines)).table
    assert encode_table(load_encoder(), table).safe_image.shape == (4, 128)
