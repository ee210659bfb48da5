import json
import shutil

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionModel
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.data.picture_folders import read_picture_folder
from safer_clip.errors import ConfigError
from safer_clip.export import export_model
from safer_clip.generation.image_to_text import Captioner, CaptionSettings, caption_images, find_tower, load_captioner
from safer_clip.miniature import draw_pairs, load_encoder, model_folder
from safer_clip.miniature.rendering import render_image
from stand_ins import write_llava

QUICK = CaptionSettings("what is it", max_new_tokens=6)


@pytest.fixture(scope="module")
def places(encoder, tmp_path_factory):
    """A LLaVA, the export of the tower it has, the export of a tuned one, and pictures."""
    root = tmp_path_factory.mktemp("llava")
    write_llava(root / "llava", encoder)
    export_model(model_folder(), "llava", root / "same")
    tuned = load_encoder()
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in tuned.model.vision_model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    tuned.save(root / "tuned-clip")
    export_model(root / "tuned-clip", "llava", root / "tuned")
    for index, pair in enumerate(draw_pairs("mini_visu", rows=4)):
        (root / "pictures" / "sub").mkdir(parents=True, exist_ok=True)
        render_image(pair.safe).save(root / "pictures" / ("sub" if index % 2 else "") / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def plain(places):
    return load_captioner(str(places / "llava"))


@pytest.fixture(scope="module")
def swapped(places):
    return load_captioner(str(places / "llava"), places / "tuned")


def look(captioner, places):
    """What the tower passes on of the first picture, and what reaches the language model."""
    image = read_picture_folder(places / "pictures").pictures[0]
    pixels = captioner.processor.image_processor(images=[image], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        hidden = find_tower(captioner.model)(pixels, output_hidden_states=True).hidden_states[-2]
        (features,) = captioner.model.get_image_features(pixel_values=pixels).pooler_output
    return pixels, hidden, features


def test_the_weights_used_are_those_of_the_export(plain, swapped, places):
    pixels, hidden, features = look(swapped, places)
    exported = CLIPVisionModel.from_pretrained(places / "tuned")
    with torch.inference_mode():
        expected = exported(pixels, output_hidden_states=True).hidden_states[-2]
        projected = swapped.model.model.multi_modal_projector(expected[:, 1:])[0]
    assert torch.equal(hidden, expected)
    assert torch.allclose(features, projected, atol=1e-6)
    assert not torch.allclose(hidden, look(plain, places)[1], atol=0.1)


def test_the_tower_it_had_changes_nothing_and_another_one_the_captions(plain, swapped, places):
    pictures = read_picture_folder(places / "pictures").pictures
    same = load_captioner(str(places / "llava"), places / "same")
    assert same.describe() == plain.describe()
    assert swapped.describe()["vision"] != plain.describe()["vision"]
    told = {
        name: [each.answer(picture, QUICK) for picture in pictures]
        for name, each in {"plain": plain, "same": same, "swapped": swapped}.items()
    }
    assert told["same"] == told["plain"]
    assert told["swapped"] != told["plain"]
    assert len(set(told["plain"])) > 1  # it does look at the picture


class Counting(Captioner):
    """Counts its answers, and breaks down after some."""

    asked = 0
    limit = 99

    def answer(self, image, settings):
        if self.asked == self.limit:
            raise KeyboardInterrupt
        object.__setattr__(self, "asked", self.asked + 1)
        return super().answer(image, settings)


def test_an_interrupted_run_goes_on_and_ends_the_same(plain, places, tmp_path):
    source = read_picture_folder(places / "pictures")
    assert caption_images(plain, source, tmp_path / "whole.jsonl", QUICK) == 4
    output, journal = tmp_path / "c.jsonl", tmp_path / "c.jsonl.journal"
    broken = Counting(plain.name, plain.model, plain.processor)
    object.__setattr__(broken, "limit", 2)
    with pytest.raises(KeyboardInterrupt):
        caption_images(broken, source, output, QUICK)
    assert not output.exists()
    with journal.open("ab") as file:
        file.write(b'{"key": "to')
    with pytest.raises(ConfigError, match=r"max_new_tokens was 6, is now 7"):
        caption_images(plain, source, output, CaptionSettings("what is it", max_new_tokens=7))
    rest = Counting(plain.name, plain.model, plain.processor)
    assert caption_images(rest, source, output, QUICK) == rest.asked == 2
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not journal.exists()


def test_a_run_with_another_tower_is_refused(plain, swapped, places, tmp_path):
    source = read_picture_folder(places / "pictures")
    broken = Counting(plain.name, plain.model, plain.processor)
    object.__setattr__(broken, "limit", 1)
    with pytest.raises(KeyboardInterrupt):
        caption_images(broken, source, tmp_path / "c.jsonl", QUICK)
    with pytest.raises(ConfigError, match=r"other settings \(vision was"):
        caption_images(swapped, source, tmp_path / "c.jsonl", QUICK)


def test_a_chat_template_words_the_question(places):
    captioner = load_captioner(str(places / "llava"))
    captioner.processor.chat_template = (
        "{% for turn in messages %}{% for part in turn.content %}"
        "{% if part.type == 'image' %}<image> {% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    assert captioner._word("what is it") == "<image> what is it"
    picture = read_picture_folder(places / "pictures").pictures[0]
    assert captioner.answer(picture, QUICK) != load_captioner(str(places / "llava")).answer(picture, QUICK)


def test_what_does_not_fit_is_told(places, tmp_path):
    llava = str(places / "llava")
    with pytest.raises(ConfigError, match="no export for LLaVA"):
        load_captioner(llava, tmp_path)
    with pytest.raises(ConfigError, match="is no vision tower but a model of type 'clip'"):
        load_captioner(llava, places / "tuned-clip")
    shutil.copytree(places / "tuned", tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text()) | {"image_size": 64, "hidden_act": "gelu"}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    processing = json.loads((tmp_path / "other" / "preprocessor_config.json").read_text()) | {"image_std": [0.5] * 3}
    (tmp_path / "other" / "preprocessor_config.json").write_text(json.dumps(processing))
    told = r"image_size 64, not 48; hidden_act gelu, not quick_gelu; image_std \[0\.5, 0\.5, 0\.5\], not \[0\.25"
    with pytest.raises(ConfigError, match=told):
        load_captioner(llava, tmp_path / "other")
    with pytest.raises(ConfigError, match="cannot be loaded as AutoModelForImageTextToText"):
        load_captioner(str(places / "tuned-clip"))


def test_the_command_writes_captions_and_prints_none(places, tmp_path):
    output = tmp_path / "captions.jsonl"
    arguments = ["caption", "--llava", str(places / "llava"), "--vision-tower", str(places / "tuned")]
    arguments += ["--images", str(places / "pictures"), "--max-new-tokens", "6", "-o", str(output)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "made 4 captions for 4 pictures" in done.output
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["file"] for row in rows] == ["0.png", "2.png", "sub/1.png", "sub/3.png"]
    assert not any(row["caption"] and row["caption"] in done.output for row in rows)
    manifest = json.loads((tmp_path / "captions.jsonl.manifest.json").read_text())
    assert manifest["settings"]["llava"] == str(places / "llava")
    assert manifest["settings"]["vision"] == load_captioner(str(places / "llava"), places / "tuned").describe()["vision"]
    assert "exists" in str(CliRunner().invoke(app, arguments).exception)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(b"gone")
    arguments[arguments.index("--images") + 1] = str(tmp_path)
    refused = CliRunner().invoke(app, [*arguments[:-1], str(tmp_path / "b.jsonl")])
    assert "x.png" in str(refused.exception)
    assert not list(tmp_path.glob("b.jsonl*"))
