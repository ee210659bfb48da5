import pytest
import torch

from safer_clip.errors import ConfigError
from safer_clip.miniature import load_encoder
from safer_clip.models.lora import (
    SAFE_CLIP_TARGETS,
    LoraSettings,
    add_adapters,
    measure_drift,
    merge_adapters,
    scale_adapters,
    tower_of,
)

SETTINGS = [
    LoraSettings(rank=4, alpha=16.0),
    LoraSettings(rank=3, alpha=1.0, targets=SAFE_CLIP_TARGETS),
    LoraSettings(rank=2, alpha=5.0, targets=("visual_projection", "text_projection")),
]


@pytest.fixture
def encoder():
    return load_encoder()


@pytest.fixture
def inputs(encoder):
    tokens = encoder.tokenizer(["a dog", "three cats in the snow"], padding=True, return_tensors="pt")
    pixels = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"], "pixel_values": pixels}


def embed(model, inputs):
    with torch.no_grad():
        output = model(**inputs)
    return output.text_embeds, output.image_embeds


def spread(model) -> None:
    """Give the second factors some values, as training would."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("settings", SETTINGS)
def test_nothing_changes_before_training(encoder, inputs, settings):
    before = embed(encoder.model, inputs)
    model = add_adapters(encoder.model, settings, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, embed(model, inputs), strict=True))
    assert measure_drift(model) == {"text": 0.0, "vision": 0.0}


@pytest.mark.parametrize("settings", SETTINGS)
def test_only_adapters_can_be_trained(encoder, settings):
    model = add_adapters(encoder.model, settings, 0)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if "lora_" in name}
    for target in settings.targets:
        assert any(f"{target}.lora_A" in name for name in trainable)
    assert {tower_of(name) for name in trainable} == {"text", "vision"}


@pytest.mark.parametrize("settings", SETTINGS)
def test_drift_is_the_distance_of_the_merged_weights(encoder, settings):
    original = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    model = add_adapters(encoder.model, settings, 0)
    spread(model)
    drift = measure_drift(model)
    merged = merge_adapters(model).state_dict()
    assert merged.keys() == original.keys()
    squares = {"text": 0.0, "vision": 0.0}
    for name, value in original.items():
        tower = "text" if name.startswith(("text_model", "text_projection")) else "vision"
        squares[tower] += float((merged[name].double() - value.double()).square().sum())
    assert min(squares.values()) > 0
    for tower, square in squares.items():
        assert drift[tower] == pytest.approx(square**0.5, rel=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_merged_model_says_the_same(encoder, inputs, settings):
    before = embed(encoder.model, inputs)
    model = add_adapters(encoder.model, settings, 0)
    spread(model)
    adapted = embed(model, inputs)
    merged = merge_adapters(model)
    assert type(merged).__name__ == "CLIPModel"
    assert not any("lora" in name for name in merged.state_dict())
    for old, told, kept in zip(before, adapted, embed(merged, inputs), strict=True):
        assert torch.allclose(kept, told, atol=1e-5)
        assert not torch.allclose(told, old, atol=1e-3)


def test_a_strength_scales_what_adapters_add(encoder):
    before = {name: weight.clone() for name, weight in encoder.model.named_parameters()}
    adapted = add_adapters(encoder.model, SETTINGS[0], seed=0)
    spread(adapted)
    whole = measure_drift(adapted)
    scale_adapters(adapted, 0.5)
    assert measure_drift(adapted) == pytest.approx({tower: drift / 2 for tower, drift in whole.items()})
    changed = [name for name, weight in merge_adapters(adapted).named_parameters() if not torch.equal(weight, before[name])]
    assert len(changed) == 42


def test_the_model_given_is_changed_in_place(encoder):
    add_adapters(encoder.model, LoraSettings(rank=2), 0)
    assert any("lora_A" in name for name, _ in encoder.model.named_parameters())


def test_the_seed_decides(encoder):
    def draw(seed):
        model = add_adapters(load_encoder().model, LoraSettings(rank=2), seed)
        return {name: value for name, value in model.state_dict().items() if "lora_" in name}

    first, again, other = draw(3), draw(3), draw(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_A" in name)


@pytest.mark.parametrize("targets", [("query",), ("q_proj", "fc3")])
def test_unknown_targets_are_refused(encoder, targets):
    with pytest.raises(ConfigError, match=targets[-1]):
        add_adapters(encoder.model, LoraSettings(targets=targets), 0)


@pytest.mark.parametrize(
    ("name", "tower"),
    [
        ("base_model.model.text_model.encoder.layers.0.mlp.fc1", "text"),
        ("text_projection.weight", "text"),
        ("vision_model.embeddings.patch_embedding", "vision"),
        ("visual_projection.weight", "vision"),
    ],
)
def test_towers(name, tower):
    assert tower_of(name) == tower


def test_one_encoder_alone_gets_adapters(encoder):
    model = add_adapters(encoder.model, LoraSettings(rank=2, targets=SAFE_CLIP_TARGETS), 0, towers=("text",))
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable and {tower_of(name) for name in trainable} == {"text"}
