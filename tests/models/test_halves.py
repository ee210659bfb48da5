"""One encoder of a model with its projection, and one encoder of a whole model tuned alone."""

import json

import numpy as np
import pytest
import torch
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from safer_clip.comparison import evaluate
from safer_clip.config import EvaluateConfig, TrainConfig
from safer_clip.errors import ConfigError
from safer_clip.export import export_model
from safer_clip.miniature import load_encoder, load_split, model_folder
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.lora import LoraSettings
from safer_clip.tuning import train

HALVES = {"text": CLIPTextModelWithProjection, "image": CLIPVisionModelWithProjection}


@pytest.fixture(scope="module", params=["text", "image"])
def modality(request):
    return request.param


@pytest.fixture(scope="module")
def half(modality, tmp_path_factory):
    folder = tmp_path_factory.mktemp(modality) / "half"
    whole = load_encoder()
    HALVES[modality].from_pretrained(model_folder()).save_pretrained(folder)
    (whole.tokenizer if modality == "text" else whole.processor).save_pretrained(folder)
    return folder


@pytest.fixture
def table():
    return load_split("mini_visu", "validation").select(range(12))


@pytest.fixture
def configure(table, tmp_path):
    table.save_to_disk(tmp_path / "data")

    def make(**settings):
        defaults = {"model": "miniature", "data": str(tmp_path / "data"), "output": tmp_path / "out", "batch_size": 4}
        defaults |= {"curriculum": (), "max_steps": 3, "learning_rate": 1e-3, "lora": LoraSettings(rank=2)}
        return TrainConfig(**(defaults | settings))

    return make


def test_a_half_embeds_what_the_whole_does_and_refuses_the_rest(half, modality, table, tmp_path):
    encoder, whole = DualEncoder.load(half), load_encoder()
    texts, images = table["safe_caption"][:3], table["safe_image"][:3]
    if modality == "text":
        assert np.allclose(encoder.encode_texts(texts), whole.encode_texts(texts), atol=1e-6)
        with pytest.raises(ConfigError, match="the text half alone, and cannot embed images"):
            encoder.encode_images(images)
    else:
        assert np.allclose(encoder.encode_images(images), whole.encode_images(images), atol=1e-6)
        with pytest.raises(ConfigError, match="the image half alone, and cannot embed texts"):
            encoder.encode_texts(texts)
    encoder.save(tmp_path / "again")
    assert DualEncoder.load(tmp_path / "again").modalities == (modality,)


def test_a_text_half_is_tuned_measured_and_exported_by_itself(half, modality, configure, tmp_path):
    said = []
    if modality == "image":
        with pytest.raises(ConfigError, match=r"towers=\[vision\]"):
            train(configure(model=str(half)))
        return
    tuned = train(configure(model=str(half)), said.append)
    assert any("is a text half" in sentence for sentence in said)
    assert set(tuned.progress.losses[-1]) == {"redirect_text", "preserve_text"}
    assert tuned.progress.drift[-1][0] > 0 == tuned.progress.drift[-1][1]
    output, data = str(tmp_path / "out"), str(tmp_path / "data")
    found = evaluate(EvaluateConfig(model=output, base=str(half), data=data)).methods["safer_clip"]
    assert found.retrieval == {"data": {}} and found.zero_shot == {}
    assert found.caption_redirection["data"].queries == 12
    assert found.geometry["data"].text_overlap <= 1 and found.geometry["data"].image_overlap is None
    with pytest.raises(ConfigError, match="--base"):
        evaluate(EvaluateConfig(model=output, data=data))


@pytest.mark.parametrize("layout", ["transformers", "diffusers", "single-file", "llava", "onnx", "open_clip"])
def test_a_half_goes_where_it_fits(half, modality, layout, tmp_path):
    fits = {"text": {"transformers", "diffusers", "single-file", "onnx"}, "image": {"transformers", "llava", "onnx"}}
    if layout in fits[modality]:
        assert export_model(half, layout, tmp_path / "x").max_abs_difference < 1e-4
    else:
        with pytest.raises(ConfigError, match=f"{layout} can hold"):
            export_model(half, layout, tmp_path / "x")
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("tower", "terms"),
    [
        ("text", {"redirect_text", "redirect_text_to_image", "preserve_text", "preserve_text_to_image"}),
        ("vision", {"redirect_image", "redirect_image_to_text", "preserve_image", "preserve_image_to_text"}),
    ],
)
def test_one_encoder_of_a_whole_model_is_tuned_alone(configure, tower, terms, tmp_path):
    tuned = train(configure(towers=(tower,)))
    assert set(tuned.progress.losses[-1]) == terms
    before, after = load_encoder().model.state_dict(), DualEncoder.load(tmp_path / "out").model.state_dict()
    changed = {name.split("_")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {tower}
    assert json.loads((tmp_path / "out" / "training.json").read_text())["settings"]["towers"] == [tower]


def test_a_half_lacks_no_file_that_it_has_no_use_for(half, modality):
    needed = {"text": "tokenizer.json", "image": "preprocessor_config.json"}[modality]
    kept = (half / needed).read_bytes()
    (half / needed).unlink()
    with pytest.raises(ConfigError, match=needed):
        DualEncoder.check(half)
    (half / needed).write_bytes(kept)
