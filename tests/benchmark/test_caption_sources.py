import io
import json

import pytest
from PIL import Image

from safer_clip.benchmark.settings import SourceSettings
from safer_clip.benchmark.sources import read_source
from safer_clip.errors import ConfigError, DataError


def picture(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade,) * 3).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path):
    """Three pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture(number * 50))
    return folder


def read(path, **settings):
    return read_source(SourceSettings(data=str(path), **settings), 0)


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


CAPTIONS = ("a dog in the park", "a cat on a mat", "a cow in a field")


def check(found, ids=("0", "1", "2")):
    assert [item.id for item in found.items] == list(ids)
    assert [item.captions for item in found.items] == [("a dog in the park", "a dog"), CAPTIONS[1:2], CAPTIONS[2:]]
    assert [item.load() for item in found.items] == [picture(0), picture(50), picture(100)]


def test_coco_and_nocaps(photos, tmp_path):
    content = {
        "images": [{"id": number + 7, "file_name": f"{number}.png"} for number in range(3)],
        "annotations": [
            {"image_id": 7, "caption": "a dog  in the park "},
            {"image_id": 8, "caption": CAPTIONS[1]},
            {"image_id": 7, "caption": "a dog"},
            {"image_id": 9, "caption": CAPTIONS[2]},
        ],
    }
    path = tmp_path / "captions.json"
    path.write_text(json.dumps(content))
    check(read(path, image_root=photos), ("7", "8", "9"))
    assert [item.load for item in read(path).items] == [None, None, None]  # no pictures beside it: captions alone
    content["annotations"].append({"image_id": 1, "caption": "a dog"})
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="row 5, annotations: an annotation belongs to no image"):
        read(path)


def test_tables(photos):
    rows = [{"image": f"{number}.png", "caption": caption} for number, caption in enumerate(CAPTIONS)]
    rows.insert(1, {"image": "0.png", "caption": "a dog"})
    (photos / "table.jsonl").write_text(lines(rows))
    check(read(photos / "table.jsonl"))
    (photos / "table.csv").write_text("file,text\n" + "".join(f"{row['image']},{row['caption']}\n" for row in rows))
    check(read(photos / "table.csv", image_column="file", caption_column="text"))
    with pytest.raises(DataError, match="no column 'words'; the columns are image, caption"):
        read(photos / "table.jsonl", caption_column="words")
    with pytest.raises(DataError, match="no column 'picture'"):
        read(photos / "table.jsonl", image_column="picture")


def test_parquet_and_saved_tables_hold_their_pictures(tmp_path):
    from datasets import Dataset, Features, Image, List, Value

    columns = {
        "id": ["0", "1", "2"],
        "captions": [["a dog in the park", "a dog"], [CAPTIONS[1]], [CAPTIONS[2]]],
        "image": [{"bytes": picture(number * 50), "path": None} for number in range(3)],
    }
    features = Features({"id": Value("string"), "captions": List(Value("string")), "image": Image()})
    table = Dataset.from_dict(columns, features=features)
    table.to_parquet(str(tmp_path / "table.parquet"))
    check(read(tmp_path / "table.parquet"))
    table.save_to_disk(str(tmp_path / "saved"))
    check(read(tmp_path / "saved"))


def test_folders_with_metadata_or_texts(photos):
    for number, caption in enumerate(CAPTIONS):
        (photos / f"{number}.txt").write_text(f"{caption}\n\n" + "a dog\n" * (number == 0))
    check(read(photos))
    (photos / "1.txt").unlink()
    (photos / "2.txt").write_text(" ")
    with pytest.raises(DataError) as caught:
        read(photos)
    assert [(each.row, each.message) for each in caught.value.problems] == [
        (2, "1.png has no caption in 1.txt"),
        (3, "is empty"),
    ]
    rows = [{"file_name": f"{number}.png", "text": caption} for number, caption in enumerate(CAPTIONS)]
    (photos / "metadata.jsonl").write_text(lines([*rows, {"file_name": "0.png", "text": "a dog"}]))
    check(read(photos))


def test_all_problems_are_told_at_once(photos):
    rows = [
        {"image": "0.png", "caption": 3},
        {"image": "absent.png", "caption": "a dog"},
        {"image": 5, "caption": "a dog"},
        {"image": "2.png", "caption": " "},
    ]
    (photos / "table.jsonl").write_text(lines(rows))
    with pytest.raises(DataError) as caught:
        read(photos / "table.jsonl")
    assert [(each.row, each.field) for each in caught.value.problems] == [
        (1, "caption"),
        (2, "image"),
        (3, "image"),
        (4, "caption"),
    ]
    (photos / "two.jsonl").write_text(lines([{"id": "a", "image": f"{n}.png", "caption": "a dog"} for n in (0, 1)]))
    with pytest.raises(DataError, match="has this id with another picture"):
        read(photos / "two.jsonl")
    with pytest.raises(DataError, match="holds neither pictures"):
        (photos.parent / "empty").mkdir()
        read(photos.parent / "empty")
    with pytest.raises(DataError, match="no such file"):
        read(photos / "absent.jsonl")


def test_the_miniature_has_no_end():
    with pytest.raises(ConfigError, match="--captions"):
        read("miniature")
    found = read("miniature", captions=40)
    assert len({item.id for item in found.items}) == 40
    assert found.items[:20] != read_source(SourceSettings(data="miniature", captions=20), 1).items
    assert [item.captions for item in found.items[:20]] == [item.captions for item in read("miniature", captions=20).items]
    assert Image.open(io.BytesIO(found.items[0].load())).size == (48, 48)


def test_a_fingerprint_tells_sources_apart(photos):
    for number, caption in enumerate(CAPTIONS):
        (photos / f"{number}.txt").write_text(caption)
    before = read(photos).fingerprint
    assert before == read(photos).fingerprint
    (photos / "1.txt").write_text("another caption")
    assert read(photos).fingerprint != before
