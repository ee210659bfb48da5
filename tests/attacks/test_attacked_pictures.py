import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from safer_clip.attacks.pictures import Climb, Lens, attack_pictures
from safer_clip.attacks.targets import Targets
from safer_clip.errors import ConfigError
from safer_clip.miniature import load_split
from safer_clip.models.dual_encoder import DualEncoder


@pytest.fixture(scope="module")
def pictures():
    table = load_split("mini_nsfw_caps", rows=8)
    return (
        [image.convert("RGB") for image in table["safe_image"]],
        list(table["unsafe_caption"]),
        list(table["safe_caption"]),
    )


@pytest.fixture(scope="module")
def targets(encoder, pictures):
    return Targets.among(torch.from_numpy(encoder.encode_texts([*pictures[1], *pictures[2]])), list(range(8)), range(16))


def test_levels_are_those_of_the_stored_picture(encoder, pictures):
    lens = Lens.of(encoder)
    pixels = encoder.preparation.prepare_images(pictures[0])["pixel_values"]
    levels = lens.to_levels(pixels)
    stored = torch.from_numpy(np.stack([np.asarray(image) for image in pictures[0]])).permute(0, 3, 1, 2)
    assert torch.equal(levels, stored.float())
    assert torch.allclose(lens.to_pixels(levels), pixels, atol=1e-6)


@settings(max_examples=8)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 5))
def test_a_climb_stays_in_its_ball_and_in_the_range_of_pixels(encoder, pictures, targets, radius, steps, seed):
    lens = Lens.of(encoder)
    levels = lens.to_levels(encoder.preparation.prepare_images(pictures[0][:2])["pixel_values"])
    levels[0, :, :8] = 0.0  # at the ends of the range, where a step would leave it
    levels[1, :, :8] = 255.0
    noise = torch.rand(levels.shape, generator=torch.Generator().manual_seed(seed))
    start = (levels + radius * (2 * noise - 1)).clamp(0, 255)
    best, found = Climb(encoder, lens, targets, torch.arange(2), radius, steps).run(levels, start)
    assert (found - levels).abs().max() <= radius
    assert found.min() >= 0
    assert found.max() <= 255
    assert torch.equal(found, found.round())
    stored = [Image.fromarray(each.byte().permute(1, 2, 0).numpy()) for each in found]
    margins = targets.measure_margins(torch.from_numpy(encoder.encode_images(stored)), torch.arange(2))
    assert torch.allclose(margins, best, atol=1e-5)


def test_a_larger_ball_is_never_worse_and_the_seed_decides(encoder, pictures, targets):
    found = attack_pictures(encoder, pictures[0], targets, (1, 4, 16), 5, 3)
    assert found.shape == (4, 8)
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found[-1] > 0).sum() > (found[0] > 0).sum()
    assert (found == attack_pictures(encoder, pictures[0], targets, (1, 4, 16), 5, 3)).all()
    assert (found != attack_pictures(encoder, pictures[0], targets, (1, 4, 16), 5, 4)).any()


def test_before_the_attack_it_is_the_model_s_own_answer(encoder, pictures, targets):
    own = targets.measure_margins(torch.from_numpy(encoder.encode_images(pictures[0])), torch.arange(8))
    assert attack_pictures(encoder, pictures[0], targets, (), 5, 0)[0] == pytest.approx(own.numpy(), abs=1e-6)


def test_on_a_linear_model_the_best_corner_of_the_ball_is_found():
    """Its embedding is (m, 1) normalised for the picture's mean m: to favour (1, 0), every pixel goes up by the radius."""
    model = torch.nn.Linear(1, 1)
    model.device = torch.device("cpu")

    def embed(pixel_values):
        mean = pixel_values.flatten(1).mean(dim=1)
        return type("Told", (), {"pooler_output": torch.stack([mean, torch.ones_like(mean)], dim=1)})()

    model.get_image_features = embed
    encoder = DualEncoder(model, tokenizer=None, processor=None)
    lens = Lens(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    targets = Targets.among(torch.eye(2), [0], range(2))
    levels = torch.full((1, 3, 2, 2), 100.0)
    best, found = Climb(encoder, lens, targets, torch.arange(1), 4, 3).run(levels, levels)
    assert torch.equal(found, levels + 4)
    x = 104 / 255
    assert best.item() == pytest.approx((x - 1) / (x**2 + 1) ** 0.5)


def test_models_that_take_patches_are_refused():
    config = type("Config", (), {"model_type": "siglip2"})
    encoder = type("Encoder", (), {"model": type("Model", (), {"config": config})})
    with pytest.raises(ConfigError, match="patches"):
        Lens.of(encoder)
