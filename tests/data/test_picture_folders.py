import pytest
from PIL import Image

from safer_clip.data.picture_folders import read_picture_folder
from safer_clip.errors import DataError


def test_pictures_of_all_subfolders_in_order(tmp_path):
    for name, shade in (("b.png", 1), ("a/c.jpg", 2), ("a/again.png", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (shade * 90,) * 3).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_picture_folder(tmp_path)
    assert found.names == ["a/again.png", "a/c.jpg", "b.png"]
    assert found.digests[0] == found.digests[2] != found.digests[1]
    assert found.pictures[2].getpixel((0, 0)) == (90, 90, 90)


def test_every_damaged_picture_is_named(tmp_path):
    Image.effect_noise((64, 64), 90).save(tmp_path / "torn.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "torn.png").read_bytes()[:500])
    (tmp_path / "text.jpg").write_text("not a picture")
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    with pytest.raises(DataError) as caught:
        read_picture_folder(tmp_path)
    assert len(caught.value.problems) == 2
    assert "torn.png" in str(caught.value)
    assert "text.jpg" in str(caught.value)


def test_an_empty_and_an_absent_folder_are_told(tmp_path):
    with pytest.raises(DataError, match="holds no picture"):
        read_picture_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_picture_folder(tmp_path / "x")
