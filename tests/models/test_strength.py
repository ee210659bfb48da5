import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from safer_clip.errors import ConfigError
from safer_clip.miniature import load_encoder
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.strength import load_adapter
from stand_ins import train_briefly


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train_briefly(tmp_path_factory.mktemp("tuned") / "safer")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def weights(encoder):
    return {name: value.clone() for name, value in encoder.model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_full_strength_is_the_trained_model_and_none_the_base_bit_for_bit(folder):
    encoder = load_encoder()
    base, tuned = weights(encoder), weights(DualEncoder.load(folder))
    assert not same(base, tuned)
    scaled = load_adapter(encoder, folder)
    assert same(weights(encoder), base)
    with scaled.at(1.0) as full:
        assert same(weights(full), tuned)
    with scaled.at(0.0) as none:
        assert same(weights(none), base)
    assert same(weights(encoder), base)


def test_in_between_it_is_linear_in_the_weights(folder):
    encoder = load_encoder()
    scaled = load_adapter(encoder, folder)
    name = "text_model.encoder.layers.1.mlp.fc1.weight"
    base = weights(encoder)[name]
    factors = load_file(folder / "adapter" / "adapter_model.safetensors")
    inner, outer = (factors[f"base_model.model.{name.removesuffix('.weight')}.lora_{which}.weight"] for which in "AB")
    settings = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    update = settings["lora_alpha"] / settings["r"] * outer @ inner
    assert update.abs().max() > 1e-3
    for strength in (0.25, 1.25):
        with scaled.at(strength) as encoder_at:
            assert torch.allclose(weights(encoder_at)[name], base + strength * update, atol=1e-6)


def test_the_base_returns_even_after_an_error(folder):
    encoder = load_encoder()
    base = weights(encoder)
    scaled = load_adapter(encoder, folder)
    with pytest.raises(RuntimeError, match="stop"), scaled.at(0.5):
        raise RuntimeError("stop")
    assert same(weights(encoder), base)


def test_two_adapters_share_one_base(folder, tmp_path):
    other = train_briefly(tmp_path / "plus", "clip_plus")
    encoder = load_encoder()
    adapters = [load_adapter(encoder, each) for each in (folder, other)]
    texts = ["a dog in the park"]
    plain = encoder.encode_texts(texts)
    for adapter, each in zip(adapters, (folder, other), strict=True):
        with adapter.at(1.0) as tuned:
            assert np.allclose(tuned.encode_texts(texts), DualEncoder.load(each).encode_texts(texts), atol=1e-6)
    assert (encoder.encode_texts(texts) == plain).all()


def test_a_folder_without_an_adapter_is_refused(copy):
    shutil.rmtree(copy / "adapter")
    with pytest.raises(ConfigError, match=r"adapter_config\.json and adapter_model\.safetensors"):
        load_adapter(load_encoder(), copy)


def test_another_base_model_is_refused(folder):
    encoder = load_encoder()
    with torch.no_grad():
        encoder.model.text_projection.weight.neg_()
    with pytest.raises(ConfigError, match="another base model"):
        load_adapter(encoder, folder)


def test_an_adapter_of_other_shape_is_refused(copy):
    path = copy / "adapter" / "adapter_model.safetensors"
    save_file({name: value.repeat(1, 2).contiguous() for name, value in load_file(path).items()}, path)
    with pytest.raises(ConfigError, match="does not fit"):
        load_adapter(load_encoder(), copy)


@pytest.mark.parametrize("change", [{"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["text_projection"]}])
def test_what_is_not_linear_in_its_strength_is_refused(copy, change):
    path = copy / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match="plain LoRA"):
        load_adapter(load_encoder(), copy)
