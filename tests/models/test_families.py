"""Models other than CLIP, tiny and with random weights, in the folders that they really come in."""

import json
from string import ascii_lowercase

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from safer_clip.attacks.running import attack_model
from safer_clip.attacks.settings import AttackSettings
from safer_clip.batches import ReferenceRows
from safer_clip.config import TrainConfig
from safer_clip.editing import ProjectionEdit, UwmEdit
from safer_clip.errors import ConfigError
from safer_clip.export import export_model
from safer_clip.miniature import load_split
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.identity import IDENTITY_FILE
from safer_clip.pairing import pair_nearest
from safer_clip.reference import encode_table
from safer_clip.tuning import train

WIDTH = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def make_tokenizer():
    words = sorted({word for caption in load_split("mini_visu", rows=40)["safe_caption"] for word in caption.split()})
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<eos>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def make_siglip():
    tokenizer = make_tokenizer()
    text = {**WIDTH, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32}
    vision = {**WIDTH, "image_size": 32, "patch_size": 8}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    return DualEncoder(model.train(False), tokenizer, SiglipImageProcessorPil(size={"height": 32, "width": 32}))


def make_siglip2():
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = {letter: index for index, letter in enumerate([*special, "\N{LOWER ONE EIGHTH BLOCK}", *ascii_lowercase])}
    tokenizer = Siglip2Tokenizer(vocab=letters, merges=[])
    text = {**WIDTH, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32}
    vision = {**WIDTH, "num_patches": 16, "patch_size": 8}
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    return DualEncoder(model.train(False), tokenizer, Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16))


@pytest.fixture(scope="module", params=[make_siglip, make_siglip2], ids=["siglip", "siglip2"])
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model")
    request.param().save(path)
    return path


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "validation", rows=8)


def test_a_folder_is_loaded_by_its_type(folder, table):
    encoder = DualEncoder.load(folder)
    assert encoder.preparation.family.name == json.loads((folder / "config.json").read_text())["model_type"]
    embeddings = encode_table(encoder, table)
    assert embeddings.safe_text.shape == embeddings.unsafe_image.shape == (8, 32)
    assert np.linalg.norm(embeddings.safe_image, axis=1) == pytest.approx(1, abs=1e-5)


def test_texts_are_padded_to_the_context_and_cut_there(folder):
    preparation = DualEncoder.load(folder).preparation
    assert preparation.prepare_texts(["a dog"])["input_ids"].shape == (1, 16)
    assert preparation.prepare_texts(["a dog " * 20])["input_ids"].shape == (1, 16)


def test_embeddings_are_the_model_s_own_output(folder, table):
    encoder = DualEncoder.load(folder)
    captions, images = table["safe_caption"][:3], [image.convert("RGB") for image in table["safe_image"][:3]]
    inputs = encoder.preparation.prepare_texts(captions) | encoder.preparation.prepare_images(images)
    with torch.inference_mode():
        output = encoder.model(**inputs)
    assert encoder.encode_texts(captions) == pytest.approx(output.text_embeds.numpy(), abs=1e-6)
    assert encoder.encode_images(images) == pytest.approx(output.image_embeds.numpy(), abs=1e-6)


def test_both_encoders_are_trained(folder, table, tmp_path):
    table.save_to_disk(tmp_path / "data")
    config = TrainConfig(
        model=str(folder), data=str(tmp_path / "data"), output=tmp_path / "out", batch_size=4, epochs=2, curriculum=()
    )
    tuned = train(config)
    assert min(tuned.progress.drift[-1]) > 0
    again = DualEncoder.load(tmp_path / "out")
    assert encode_table(again, table).safe_text == pytest.approx(encode_table(tuned.encoder, table).safe_text, abs=1e-6)


def test_uwm_edits_both_encoders_past_the_pooling_head(folder, table):
    encoder = DualEncoder.load(folder)
    embedded = encode_table(encoder, table)
    reference = ReferenceRows(embedded, pair_nearest(embedded.unsafe_text, embedded.safe_text))
    edited = UwmEdit()(encoder, table, reference)
    assert (edited.told["text_layers"], edited.told["vision_layers"]) == (2, 2)
    before, after = encoder.model.state_dict(), edited.encoder.model.state_dict()
    changed = [name for name, weight in before.items() if not torch.equal(weight, after[name])]
    assert changed and all(".layers." in name for name in changed)
    with pytest.raises(ConfigError, match=r"the text encoder of a siglip2? model does not end in a projection"):
        ProjectionEdit(rank=2)(encoder, table, reference)


def test_a_model_that_answers_otherwise_is_refused(folder, tmp_path):
    DualEncoder.load(folder).save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["text_config"]["hidden_act"] = "quick_gelu"
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"text activation is quick_gelu, was gelu.*; text embeddings differ by"):
        DualEncoder.load(tmp_path / "m")


def test_a_changed_processor_is_refused(encoder, tmp_path):
    encoder.save(tmp_path)
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    settings["image_mean"] = [0.1, 0.1, 0.1]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"image embeddings differ by .*Restore the files"):
        DualEncoder.load(tmp_path)
    (tmp_path / IDENTITY_FILE).unlink()
    DualEncoder.load(tmp_path)  # nothing to compare with


@pytest.mark.parametrize("content", ["", "[]", '{"text": 3}', '{"text_activation": "quick_gelu"}'])
def test_a_damaged_identity_is_told(encoder, tmp_path, content):
    encoder.save(tmp_path)
    (tmp_path / IDENTITY_FILE).write_text(content)
    with pytest.raises(ConfigError, match="is damaged"):
        DualEncoder.load(tmp_path)


def test_what_cannot_be_loaded_is_told(encoder, tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"lacks config\.json, model\.safetensors .*tokenizer\.json or spiece\.model, preprocessor_config\.json",
    ):
        DualEncoder.check(tmp_path)
    encoder.save(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    with pytest.raises(ConfigError, match="type 'blip'; there are clip, siglip, siglip2"):
        DualEncoder.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="no model configuration"):
        DualEncoder.load(tmp_path)
    encoder.save(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="convert them to safetensors"):
        DualEncoder.load(tmp_path)


@pytest.mark.parametrize("layout", ["transformers", "onnx", "open_clip", "diffusers", "llava", "single-file"])
def test_exports_hold_what_they_can_and_refuse_the_rest(folder, layout, tmp_path):
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    if kind == "siglip" and layout in ("transformers", "onnx"):
        assert export_model(folder, layout, tmp_path / "out").max_abs_difference < 1e-4
    else:
        with pytest.raises(ConfigError, match=f"of type {kind!r}, and {layout} can hold"):
            export_model(folder, layout, tmp_path / "out")


def test_pixels_can_be_attacked_and_patches_are_refused(folder, table):
    encoder = DualEncoder.load(folder)
    settings = AttackSettings(quadruplets=4, tokens=(1, 2), pixels=(4,), candidates=8, steps=2)
    if encoder.model.config.model_type == "siglip2":
        with pytest.raises(ConfigError, match="patches"):
            attack_model(encoder, table, encode_table(encoder, table), settings)
        return
    found = attack_model(encoder, table, encode_table(encoder, table), settings)
    assert found.captions.immovable < 4
    assert found.captions.rates["2"].success >= found.captions.rates["0"].success
    assert found.pictures.rates["4"].success >= found.pictures.rates["0"].success
