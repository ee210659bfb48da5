import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from safer_clip.errors import ConfigError
from safer_clip.miniature import load_model, load_processor, load_tokenizer, model_folder
from safer_clip.miniature.figures import measure_plain_pool
from safer_clip.miniature.measures import measure_zero_shot
from safer_clip.miniature.zero_shot import load_zero_shot
from safer_clip.models.dual_encoder import DualEncoder


def test_the_folder_is_small_and_ordinary():
    assert (model_folder() / "model.safetensors").stat().st_size <= 10_000_000
    assert load_file(model_folder() / "model.safetensors")
    config = json.loads((model_folder() / "config.json").read_text())
    assert config["model_type"] == "clip"


def test_the_end_token_has_the_highest_id():
    tokenizer = load_tokenizer()
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    assert load_model().config.text_config.eos_token_id == tokenizer.eos_token_id


def test_the_tokenizer_knows_the_world():
    tokenizer = load_tokenizer()
    assert tokenizer.tokenize("a dog with a knife") == ["a</w>", "dog</w>", "with</w>", "a</w>", "knife</w>"]


def test_pixels_are_not_resampled():
    picture = Image.new("RGB", (48, 48), (255, 0, 128))
    pixels = np.asarray(load_processor()(images=picture)["pixel_values"][0])
    assert pixels.shape == (3, 48, 48)
    assert pixels[:, 0, 0] == pytest.approx([2.0, -2.0, (128 / 255 - 0.5) / 0.25], abs=1e-5)


def test_embeddings_are_unit_rows_and_do_not_depend_on_the_batch(encoder):
    texts = ["a dog", "three dogs in the snow, a photo", "bread on the beach"]
    together = encoder.encode_texts(texts)
    apart = np.concatenate([encoder.encode_texts([text]) for text in texts])
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.abs(together - apart).max() < 1e-5


@pytest.mark.parametrize(("name", "goal"), [("vocabulary_a", 85), ("vocabulary_b", 85), ("places", 90)])
def test_it_knows_the_world(encoder, name, goal):
    zero_shot = next(s for s in load_zero_shot() if s.name == name)
    assert measure_zero_shot(encoder, zero_shot) >= goal


def test_it_finds_one_scene_among_a_thousand(encoder):
    figures = measure_plain_pool(encoder)
    assert figures["T->V"]["R@1"] >= 80
    assert figures["V->T"]["R@1"] >= 80


def test_an_incomplete_folder_is_refused_with_what_it_lacks(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        DualEncoder.load(tmp_path)
