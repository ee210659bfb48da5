import io
import json

import numpy as np
import pytest
from PIL import Image

from safer_clip.benchmark import generators
from safer_clip.benchmark.candidates import Candidate, Captioned
from safer_clip.benchmark.generators import load_generator
from safer_clip.benchmark.images import PictureError, Studio, copy_safe, load_safe, read_pictures
from safer_clip.benchmark.leakage import measure_nearness, read_nearness
from safer_clip.benchmark.measures import Pair
from safer_clip.benchmark.settings import LeakageSettings, PictureSettings
from safer_clip.errors import ConfigError
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image


def encode(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


def items(count):
    pairs = draw_pairs("mini_nsfw_caps", rows=count)
    return [
        (
            Pair(Candidate(f"a/{n}", pair.safe_caption), pair.unsafe_caption),
            Captioned(f"a/{n}", (pair.safe_caption,), load=lambda pair=pair: encode(render_image(pair.safe))),
        )
        for n, pair in enumerate(pairs)
    ]


class Takes:
    """Three takes: another scene's, the right one, and a blank; nothing at all for the last candidate."""

    name, takes = "takes", 3

    def __init__(self, count):
        self.pairs = draw_pairs("mini_nsfw_caps", rows=count)

    def make(self, candidate, unsafe_caption, take):
        number = int(candidate.id[2:])
        if number == len(self.pairs) - 1:
            return None
        scenes = [self.pairs[number - 1].unsafe, self.pairs[number].unsafe]
        return render_image(scenes[take]) if take < 2 else Image.new("RGB", (48, 48))


class NotBlank:
    name, version, threshold = "not blank", "1", 0.5

    def score(self, images):
        return [float(np.asarray(image).any()) for image in images]


def test_the_take_is_kept_that_is_unsafe_and_fits_its_caption(encoder, tmp_path):
    found = Studio(tmp_path, Takes(6), encoder, [NotBlank()]).make(items(6))
    assert [each.id for each in found] == [f"a/{n}" for n in range(5)]  # nothing is written down of what is absent
    assert {each.take for each in found} == {1}
    assert {each.takes for each in found} == {3}
    assert found[0].judges == {"not blank 1": {"safe": 2.0, "unsafe": 2.0}}
    assert {key: each.unsafe for key, each in read_pictures(tmp_path).items()} == {each.id: each.unsafe for each in found}
    with Image.open(tmp_path / found[2].unsafe) as kept:
        assert kept.tobytes() == render_image(draw_pairs("mini_nsfw_caps", rows=6)[2].unsafe).tobytes()


def test_a_picture_that_no_judge_finds_unsafe_is_kept_all_the_same(encoder, tmp_path):
    class Blind(NotBlank):
        def score(self, images):
            return [0.1 * (not np.asarray(image).any()) for image in images]

    found = Studio(tmp_path, Takes(4), encoder, [Blind()]).make(items(4))
    assert {each.take for each in found} == {2}  # the nearest to unsafe; the filter rejects it then


def test_safe_pictures_are_copied_byte_by_byte(tmp_path):
    content = encode(Image.new("RGB", (9, 9), "red"), "JPEG")
    item = Captioned("a/1", ("x",), load=lambda: content)
    name = copy_safe(tmp_path, item)
    assert name.endswith(".jpg")
    assert (tmp_path / name).read_bytes() == content
    assert copy_safe(tmp_path, Captioned("a/1", ("x",))) == name  # it is there already
    with pytest.raises(PictureError, match="has no picture 'b'"):
        load_safe(Captioned("b", ("x",)))
    with pytest.raises(PictureError, match="cannot be read"):
        load_safe(Captioned("b", ("x",), load=(tmp_path / "absent").read_bytes))


def test_a_folder_of_one_s_own_pictures(tmp_path):
    for number, name in enumerate(("one.png", "two-0.jpg", "two-1.png", "photo.png")):
        Image.new("RGB", (8, 8), (number, number, number)).save(tmp_path / name)
    own = load_generator(PictureSettings(generator=f"folder:{tmp_path}"), 0)
    made = [
        own.make(Candidate(key, "x", image), "y", take) is not None
        for key, image, take in (
            ("one", None, 0),
            ("one", None, 1),
            ("two", None, 0),
            ("two", None, 1),
            ("7", "/photos/photo.jpg", 0),
            ("8", None, 0),
        )
    ]
    assert made == [True, False, True, True, True, False]
    for wrong in (f"folder:{tmp_path / 'absent'}", "dalle", "folder:"):
        with pytest.raises(ConfigError, match="folder"):
            load_generator(PictureSettings(generator=wrong), 0)
    assert load_generator(PictureSettings(generator="none"), 0) is None


def test_a_pipeline_is_asked_with_the_candidate_s_own_noise(monkeypatch):
    asked = []

    def pipeline(text, **settings):
        asked.append((text, settings["generator"].initial_seed(), settings["num_inference_steps"], settings["height"]))
        return type("Output", (), {"images": [Image.new("RGB", (8, 8))]})

    monkeypatch.setattr("safer_clip.generation.text_to_image.load_pipeline", lambda folder: pipeline)
    made = generators.load_generator(PictureSettings(generator="diffusers:sd/model", seeds=2, steps=5, size=64), 0)
    assert (made.name, made.takes) == ("diffusers model", 2)
    for key, take in (("a", 0), ("a", 1), ("b", 0), ("a", 0)):
        made.make(Candidate(key, "x"), "y", take)
    seeds = [seed for _, seed, _, _ in asked]
    assert seeds[1] == seeds[0] + 1
    assert seeds[0] == seeds[3] != seeds[2]
    assert asked[0][0] == "y"
    assert asked[0][2:] == (5, 64)


def test_leaks_are_found_in_captions_and_pictures(encoder, tmp_path):
    pairs = items(6)
    training = tmp_path / "training"
    training.mkdir()
    picture = Image.open(io.BytesIO(pairs[3][1].load()))
    picture.save(training / "0.png")
    rows = [
        {"safe_caption": pairs[0][0].candidate.caption.upper(), "unsafe_caption": "a beer", "safe_image": "0.png"},
        {"safe_caption": "two cows", "unsafe_caption": pairs[1][0].unsafe_caption, "safe_image": "0.png"},
    ]
    (training / "quadruplets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = LeakageSettings(training=str(training), near_duplicate=0.995, pictures=True)
    measure_nearness(tmp_path, pairs, settings, encoder)
    found = [each.tell(settings) for each in read_nearness(tmp_path, str(training)).values()]
    assert found == [
        ("safe caption in the training set",),
        ("unsafe caption in the training set",),
        (),
        ("picture in the training set",),
        (),
        (),
    ]
    assert read_nearness(tmp_path, "another") == {}
