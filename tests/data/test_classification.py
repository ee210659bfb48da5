import io
import tarfile

import pytest
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Pillow

from safer_clip.comparison import add_own_sets
from safer_clip.config import EvaluateConfig
from safer_clip.data.classification import HABITUAL_TEMPLATES, read_classification
from safer_clip.errors import DataError
from safer_clip.evaluation.suite import Suite

COLOURS = {"deep_blue": (0, 0, 255), "red": (255, 0, 0)}


def paint(colour, size=(8, 6)):
    return Pillow.new("RGB", size, colour)


def encode(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "dtd"
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for index in range(2):
            paint(colour).save(root / name / f"{index}.png")
        (root / name / "notes.txt").write_text("no picture")
    return root


def write_shard(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in samples.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path):
    root = tmp_path / "wds"
    write_shard(
        root / "test" / "0.tar",
        {
            "s1.png": encode(paint(COLOURS["red"])),
            "s1.cls": b"1\n",
            "s2.cls": b"0",
            "s2.png": encode(paint(COLOURS["deep_blue"])),
        },
    )
    write_shard(root / "test" / "1.tar", {"s3.png": encode(paint(COLOURS["red"])), "s3.cls": b"1"})
    (root / "classnames.txt").write_text("blue\nred\n")
    (root / "zeroshot_classification_templates.txt").write_text("a {c} thing\nsomething {c}\n")
    return root


def colours_of(found):
    return [image.getpixel((0, 0)) for image in found.images]


def test_an_image_folder(folder):
    found = read_classification(folder)
    assert (found.name, found.classes, found.labels) == ("dtd", ("deep blue", "red"), (0, 0, 1, 1))
    assert colours_of(found) == [COLOURS["deep_blue"]] * 2 + [COLOURS["red"]] * 2
    assert [image.size for image in found.images[1:3]] == [(8, 6), (8, 6)]
    assert found.prompts == [["deep blue texture."], ["red texture."]]


def test_names_and_templates_beside_the_folders_win(folder):
    (folder / "classnames.txt").write_text("azure\nscarlet\n")
    (folder / "templates.txt").write_text("a {} wall\n\nthe {}\n")
    assert read_classification(folder).prompts == [["a azure wall", "the azure"], ["a scarlet wall", "the scarlet"]]


def test_a_saved_table(tmp_path):
    features = Features({"picture": Image(), "label": ClassLabel(names=["deep_blue", "red"])})
    rows = {"picture": [paint(COLOURS["red"]), paint(COLOURS["deep_blue"])], "label": [1, 0]}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    found = read_classification(tmp_path / "saved")
    assert (found.classes, found.labels) == (("deep blue", "red"), (1, 0))
    assert colours_of(found) == [COLOURS["red"], COLOURS["deep_blue"]]
    assert found.templates == ("a photo of a {}.",)


def test_clip_benchmark_s_webdataset(shards):
    found = read_classification(shards)
    assert (found.classes, found.labels) == (("blue", "red"), (1, 0, 1))
    assert colours_of(found) == [COLOURS["red"], COLOURS["deep_blue"], COLOURS["red"]]
    assert found.prompts[0] == ["a blue thing", "something blue"]


def test_the_habitual_eleven_have_templates():
    assert len(HABITUAL_TEMPLATES) == 11
    assert all("{}" in template for templates in HABITUAL_TEMPLATES.values() for template in templates)


def test_everything_wrong_with_a_folder_is_told_at_once(folder):
    (folder / "red" / "1.png").write_bytes(b"not a picture")
    (folder / "empty").mkdir()
    (folder / "templates.txt").write_text("no place for the class\n")
    with pytest.raises(DataError) as caught:
        read_classification(folder)
    told = str(caught.value)
    for part in ("red/1.png", "'empty' holds no picture", "line 1: 'no place for the class' has no {}"):
        assert part in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda root: (root / "classnames.txt").unlink(), "classnames.txt is missing"),
        (lambda root: (root / "classnames.txt").write_text("blue"), "labels 1 have no class; there are 1"),
        (lambda root: (root / "test" / "1.tar").write_bytes(b"x" * 700), "shard 1.tar cannot be read"),
        (lambda root: write_shard(root / "test" / "1.tar", {"s9.cls": b"0"}), "sample s9 has no picture"),
        (lambda root: (root / "templates.txt").write_text(""), None),
        (lambda root: (root / "zeroshot_classification_templates.txt").write_text(""), "has no template"),
    ],
)
def test_broken_shards_are_told(shards, change, told):
    change(shards)
    if told is None:
        read_classification(shards)
        return
    with pytest.raises(DataError, match=told):
        read_classification(shards)


def test_a_broken_picture_in_a_shard_is_told_when_it_is_met(shards):
    write_shard(shards / "test" / "1.tar", {"s3.png": b"no picture", "s3.cls": b"1"})
    with pytest.raises(DataError, match=r"1\.tar: the picture at byte 512 cannot be read"):
        read_classification(shards).images[2]


def test_what_is_no_set_is_told(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_classification(tmp_path / "none")
    with pytest.raises(DataError, match="neither a folder a class"):
        read_classification(tmp_path)
    Dataset.from_dict({"a": [1]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="0 image and 0 ClassLabel columns"):
        read_classification(tmp_path / "saved")
    (tmp_path / "few" / "one").mkdir(parents=True)
    (tmp_path / "few" / "classnames.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match="2 lines for 1 folders"):
        read_classification(tmp_path / "few")


def test_a_suite_takes_a_user_s_sets(folder, shards):
    suite = add_own_sets(Suite({}), EvaluateConfig(model="m", data="d", zero_shot=(folder, shards)))
    assert [each.name for each in suite.zero_shot] == ["dtd", "wds"]
    assert len(suite.zero_shot[1].images) == 3
