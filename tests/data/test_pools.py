import json

import pytest
from PIL import Image

from safer_clip.data.pools import read_pool
from safer_clip.errors import DataError


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def picture(tmp_path):
    def make(name, shade):
        Image.new("RGB", (4, 4), (shade,) * 3).save(tmp_path / name)
        return name

    return make


def test_rows_may_have_an_image_or_a_caption(tmp_path, picture):
    rows = [
        {"unsafe": True, "image": picture("a.png", 10), "caption": None},
        {"unsafe": "yes", "caption": "a knife"},
        {"unsafe": 0, "image": picture("b.png", 20), "caption": "a spoon"},
        {"unsafe": "FALSE", "caption": "a fork"},
    ]
    pool = read_pool(write(tmp_path / "nudenet.jsonl", rows))
    assert pool.name == "nudenet"
    assert pool.unsafe_texts == ("a knife",)
    assert pool.safe_texts == ("a spoon", "a fork")
    assert [image.getpixel((0, 0))[0] for image in pool.unsafe_images] == [10]
    assert [image.getpixel((0, 0))[0] for image in pool.safe_images] == [20]


def test_everything_wrong_is_told_at_once(tmp_path, picture):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    rows = [
        {"unsafe": "perhaps", "caption": "a"},
        {"unsafe": True, "image": "gone.png"},
        {"unsafe": True, "image": "bad.png"},
        {"unsafe": True, "image": "https://example.org/a.png"},
        {"unsafe": False, "caption": 3},
        {"unsafe": False},
    ]
    with pytest.raises(DataError) as caught:
        read_pool(write(tmp_path / "pool.jsonl", rows))
    told = str(caught.value)
    for part in ("'perhaps'", "gone.png", "cannot identify", "fetch pictures first", "got int", "line 6: has neither"):
        assert part in told


def test_columns_and_sides_that_are_missing(tmp_path):
    with pytest.raises(DataError, match=r"column unsafe is missing; did you mean 'unsave'\?"):
        read_pool(write(tmp_path / "a.jsonl", [{"unsave": True, "caption": "a"}]))
    with pytest.raises(DataError, match="column image or caption is missing"):
        read_pool(write(tmp_path / "b.jsonl", [{"unsafe": True, "text": "a"}]))
    with pytest.raises(DataError, match="needs unsafe images and safe captions"):
        read_pool(write(tmp_path / "c.jsonl", [{"unsafe": True, "caption": "a"}]))
