import io
import json
import tarfile

import pytest
from PIL import Image

from safer_clip.data import ReadOptions, read_quadruplets
from safer_clip.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache" / "safer_clip_shards"


def draw(colour, kind="png"):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, format=kind)
    return buffer.getvalue()


def write_shard(path, members):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(encoded)
            archive.addfile(info, io.BytesIO(encoded))
    return path


def row(number, **more):
    return {"safe_caption": f"a spoon {number}", "unsafe_caption": f"a knife {number}", "category": "weapons", **more}


def test_rows_of_all_shards_with_their_pictures(tmp_path, cache):
    first = {"000000.json": row(0), "000000.safe.png": draw("red"), "000000.unsafe.jpg": draw("blue", "JPEG")}
    write_shard(tmp_path / "shards" / "caps-000000.tar", first)
    write_shard(tmp_path / "shards" / "caps-000001.tar", {"some/folder/000000.json": row(1, id="own", text_unsafe=True)})
    found = read_quadruplets(tmp_path / "shards")
    assert found.table["id"][:] == ["caps-000000/000000", "own"]
    assert found.table["text_unsafe"][:] == [None, True]
    assert found.table[0]["safe_image"].getpixel((0, 0)) == (255, 0, 0)
    assert found.table[0]["unsafe_image"].getpixel((0, 0))[2] > 200
    assert found.report.safe_images_absent == 1
    assert len(list(cache.iterdir())) == 1
    assert read_quadruplets(tmp_path / "shards" / "caps-000001.tar").table["id"][:] == ["own"]


def test_shards_are_unpacked_once_for_each_version(tmp_path, cache):
    path = write_shard(tmp_path / "shards" / "a.tar", {"0.json": row(0)})
    read_quadruplets(path)
    (unpacked,) = cache.iterdir()
    before = unpacked.stat().st_mtime_ns
    read_quadruplets(path)
    assert [item.stat().st_mtime_ns for item in cache.iterdir()] == [before]
    write_shard(path, {"0.json": row(0), "1.json": row(1)})
    assert read_quadruplets(path).report.rows_kept == 2
    assert len(list(cache.iterdir())) == 2


def test_paths_in_a_shard_lead_nowhere(tmp_path, cache):
    write_shard(tmp_path / "shards" / "a.tar", {"0.json": row(0), "../../../escaped.txt": b"x", "/escaped.txt": b"x"})
    read_quadruplets(tmp_path / "shards")
    assert not list(tmp_path.glob("*.txt"))


def test_a_damaged_shard_is_named_and_nothing_is_kept(tmp_path, cache):
    whole = write_shard(tmp_path / "shards" / "a.tar", {"0.json": row(0), "0.safe.png": draw("red") * 50})
    write_shard(tmp_path / "shards" / "b.tar", {"0.json": row(0)})
    whole.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"a\.tar is no whole tar file"):
        read_quadruplets(tmp_path / "shards")
    assert list(cache.iterdir()) == []


def test_broken_rows_are_told_with_their_member(tmp_path):
    path = write_shard(tmp_path / "shards" / "a.tar", {"0.json": b"{", "1.json": ["x"], "2.json": row(2)})
    with pytest.raises(DataError) as caught:
        read_quadruplets(path)
    assert "a.tar/0.json is not usable" in str(caught.value)
    assert "a.tar/1.json is not usable: expected an object" in str(caught.value)
    assert read_quadruplets(path, options=ReadOptions(max_bad_rows=2)).report.rows_kept == 1


def test_a_shard_without_rows(tmp_path):
    path = write_shard(tmp_path / "shards" / "a.tar", {"0.txt": b"a caption"})
    with pytest.raises(DataError, match=r"no member of a shard ends in \.json"):
        read_quadruplets(path)
