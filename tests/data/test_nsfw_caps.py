import json

import pytest
from PIL import Image

from safer_clip.data import read_quadruplets
from safer_clip.errors import ConfigError, DataError

ROWS = [
    {
        "image_coco_url": "https://s3.example.org/nocaps/val/0013ea2087020901.jpg",
        "caption": "a spoon on a table",
        "nsfw_caption": "a knife on a table",
        "chosen_category": "violence",
    },
    {
        "image_coco_url": "https://s3.example.org/nocaps/val/00%20b.jpg?size=big",
        "caption": "a glass of juice",
        "nsfw_caption": "a glass of beer",
        "chosen_category": "drug use",
    },
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "nsfw_caps.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def pictures(tmp_path):
    for name in ("safe/0013ea2087020901.jpg", "safe/00 b.jpg", "unsafe/0013ea2087020901.png", "unsafe/00 b.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    return {"image_root": tmp_path / "safe", "unsafe_root": tmp_path / "unsafe"}


def test_text_alone_is_enough(table):
    result = read_quadruplets(table)
    assert result.table["id"][:] == ["0013ea2087020901", "00 b"]
    assert result.table["unsafe_caption"][:] == ["a knife on a table", "a glass of beer"]
    assert result.table["category"][:] == ["violence", "illegal activity"]
    assert (result.report.safe_images_absent, result.report.unsafe_images_absent) == (2, 2)


def test_pictures_are_found_by_the_name_that_ends_their_address(table, pictures):
    result = read_quadruplets(table, **pictures)
    assert (result.report.safe_images_absent, result.report.unsafe_images_absent) == (0, 0)
    assert result.table[1]["unsafe_image"].size == (8, 6)


def test_pictures_that_are_missing_are_told(table, pictures):
    (pictures["image_root"] / "00 b.jpg").unlink()
    (pictures["unsafe_root"] / "00 b.webp").unlink()
    with pytest.raises(DataError) as caught:
        read_quadruplets(table, **pictures)
    assert "00 b.jpg" in str(caught.value)
    assert "00 b.{jpg,jpeg,png,webp}" in str(caught.value)


def test_a_wrong_address_is_told(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[0] | {"image_coco_url": 7}) + "\n")
    with pytest.raises(DataError, match="expected an address, got int"):
        read_quadruplets(path)
    with pytest.raises(ConfigError, match="coco_root"):
        read_quadruplets(path, coco_root=tmp_path)
