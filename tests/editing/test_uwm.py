import copy
import math

import numpy as np
import pytest
import torch

from safer_clip.batches import ReferenceRows
from safer_clip.editing.uwm import UwmEdit, choose_top_mass, rate_pairs, score_layers
from safer_clip.errors import ConfigError
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.miniature import load_encoder, load_split
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.pairing import Pairing

NOTHING = np.zeros((0, 2), np.float32)
UNUSED = ReferenceRows(
    QuadrupletEmbeddings(NOTHING, NOTHING, NOTHING, NOTHING), Pairing(np.zeros(0, np.int64), NOTHING[:, 0])
)


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "train", 70)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


def test_the_lowest_scores_up_to_the_mass_are_left_alone():
    # sorted shares .1 .2 .3 .4 add up to .1 .3 .6 1.0
    scores = torch.tensor([[3.0, 1.0], [4.0, 2.0]])
    assert choose_top_mass(scores, 0.65).tolist() == [[False, False], [True, False]]
    assert choose_top_mass(scores, 0.55).tolist() == [[True, False], [True, False]]
    assert choose_top_mass(scores, 0.05).all()
    assert not choose_top_mass(scores, 1.0).any()
    assert not choose_top_mass(torch.rand(300, 300), 1.0).any()  # whatever the sum of many is rounded to


def test_ratios_of_one_pair_by_hand():
    # one output with weights 2 and -1; tokens 3 and 4: norm 5, standard deviation 1/sqrt(2); 0 and 6: norm 6, sd sqrt(18)
    weight = torch.tensor([[2.0, -1.0]])
    safe = torch.tensor([[[3.0, 3.0], [4.0, 4.0]]])
    unsafe = torch.tensor([[[0.0, 3.0], [6.0, 4.0]]])
    seen = torch.ones(1, 2)
    found = rate_pairs(weight, safe, unsafe, (seen, seen))
    flow_out = (2 * 6 + 5) / (2 * 5 + 5)
    changed = flow_out * (6 / 5) * (math.sqrt(0.5) / math.sqrt(18))
    assert found[0].tolist() == pytest.approx([changed, flow_out], rel=1e-5)


def test_what_is_equal_has_the_ratio_one_and_pairs_add_up():
    inputs = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    found = rate_pairs(torch.randn(4, 3), inputs, inputs.clone(), (torch.ones(5, 7), torch.ones(5, 7)))
    assert torch.allclose(found, torch.full((4, 3), 5.0), rtol=1e-4)


def test_padding_does_not_count():
    generator = torch.Generator().manual_seed(1)
    safe, unsafe, weight = (
        torch.randn(2, 4, 3, generator=generator),
        torch.randn(2, 4, 3, generator=generator),
        torch.ones(2, 3),
    )
    plain = rate_pairs(weight, safe, unsafe, (torch.ones(2, 4), torch.ones(2, 4)))
    noise = torch.full((2, 2, 3), 9.0)
    mask = torch.tensor([[1.0] * 4 + [0.0] * 2] * 2)
    padded = rate_pairs(weight, torch.cat([safe, noise], 1), torch.cat([unsafe, 3 * noise], 1), (mask, mask))
    assert torch.allclose(plain, padded, rtol=1e-5)


def test_scores_are_the_authors_formula(encoder, table):
    """Equations 8 to 10 item by item with the array ``(out, in)`` of each, as the published code has them."""
    rows = table.select(range(3))
    heard = {}
    layer = encoder.model.text_model.encoder.layers[1].self_attn.out_proj
    hook = layer.register_forward_pre_hook(lambda _, given: heard.update(x=given[0].detach()))
    weight, expected = layer.weight.detach().abs(), torch.zeros_like(layer.weight)
    for row in rows:
        scores = []
        for caption in (row["safe_caption"], row["unsafe_caption"]):
            encoder.encode_texts([caption])
            tokens = heard["x"][0]
            flow = weight * tokens.norm(dim=0)
            scores.append(torch.outer(flow.mean(1), flow.mean(0)) / tokens.std(0))
        expected += scores[1] / scores[0] / len(rows)
    hook.remove()
    found = score_layers(encoder, rows, "text")
    name = "text_model.encoder.layers.1.self_attn.out_proj"
    assert torch.allclose(found[name], (expected * weight).detach(), rtol=1e-3, atol=1e-6)
    assert len(found) == len(encoder.model.text_model.encoder.layers)


def test_signs_are_turned_in_the_target_layers_alone(encoder, table):
    before = copy.deepcopy(encoder.model.state_dict())
    edited = UwmEdit()(encoder, table, UNUSED)
    after = edited.encoder.model.state_dict()
    assert all(torch.equal(weight, encoder.model.state_dict()[name]) for name, weight in before.items())
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert {name.split(".")[-2] for name in changed} == {"out_proj", "fc2"}
    assert all(("text_model" in name) == ("out_proj" in name) for name in changed)
    turned = {name: before[name] != after[name] for name in changed}
    assert all(torch.equal(after[name][turned[name]], -before[name][turned[name]]) for name in changed)
    vision = sum(int(turn.sum()) for name, turn in turned.items() if "fc2" in name)
    layers = encoder.model.vision_model.encoder.layers
    share = 100 * vision / sum(layer.mlp.fc2.weight.numel() for layer in layers)
    assert edited.told["vision_changed_percent"] == pytest.approx(share)
    assert 0 < share <= 2  # the highest scores hold two hundredths of the mass, so they are fewer than that
    assert edited.told["rows"] == 70 and edited.told["vision_layers"] == len(layers)


def test_calibration_rows_are_taken_from_the_whole_table(encoder, table):
    few = UwmEdit(rows=2)(encoder, table, UNUSED)
    ends = UwmEdit()(encoder, table.select([0, 69]), UNUSED)
    assert few.told == ends.told and few.told["rows"] == 2
    one, other = few.encoder.model.state_dict(), ends.encoder.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_captions_alone_change_the_text_encoder_alone(encoder, table):
    absent = table.remove_columns(["safe_image", "unsafe_image"])
    for side in ("safe_image", "unsafe_image"):
        absent = absent.add_column(side, [None] * len(absent), feature=table.features[side])
    edited = UwmEdit()(encoder, absent, UNUSED)
    assert "vision_layers" not in edited.told and edited.told["text_layers"] == 3
    images = [row["safe_image"] for row in table.select(range(4))]
    assert np.array_equal(edited.encoder.encode_images(images), encoder.encode_images(images))
    assert not np.array_equal(edited.encoder.encode_texts(["a knife"]), encoder.encode_texts(["a knife"]))


def test_a_model_without_the_layers_is_refused(encoder, table):
    model = copy.deepcopy(encoder.model)
    for layer in model.vision_model.encoder.layers:
        layer.mlp.last = layer.mlp.fc2
        del layer.mlp.fc2
    with pytest.raises(ConfigError, match="the vision encoder has no layer named fc2"):
        score_layers(DualEncoder(model, encoder.tokenizer, encoder.processor), table, "vision")
