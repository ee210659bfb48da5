import math

import numpy as np
import pytest
import torch

from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.methods import find_trained
from safer_clip.objectives import Reference, SaferPlusObjective, Sides
from safer_clip.objectives.base import TargetFinder
from safer_clip.objectives.terms import prefer_in_pool
from safer_clip.pairing import pair_nearest

EYE = torch.eye(4)
OBJECTIVE = SaferPlusObjective()


def place(**rows):
    return Sides(**{side: EYE[indices] for side, indices in rows.items()})


def test_a_query_prefers_its_target_to_the_whole_pool():
    """Two queries at their targets, unwanted items elsewhere: -log(e^s / (e^s + 3)) each."""
    found = prefer_in_pool(EYE[:2], EYE[:2], EYE[2:], scale=2.0)
    assert found == pytest.approx(math.log(1 + 3 * math.exp(-2)))
    same = EYE[:1].repeat(2, 1)
    assert prefer_in_pool(same, same, same, scale=30.0) == pytest.approx(math.log(4))


def test_all_is_well_where_unsafe_items_are_at_their_targets_and_safe_ones_stayed():
    own = place(safe_text=[0, 1], safe_image=[0, 1], unsafe_text=[2, 3], unsafe_image=[2, 3])
    trained = place(safe_text=[0, 1], safe_image=[0, 1], unsafe_text=[0, 1], unsafe_image=[2, 3])
    terms = OBJECTIVE(trained, Reference(own, EYE[[0, 1]], EYE[[0, 1]]))
    assert terms["redirect_text"] == terms["preserve_text"] == terms["preserve_image"] == 0
    assert terms["redirect_image"] == OBJECTIVE.image_proximity  # these did not move
    assert terms["redirect_text_to_image"] < 1e-6  # prefers its target to where unsafe images are now
    assert terms["redirect_image_to_text"] == pytest.approx(OBJECTIVE.image_redirection * math.log(4))  # tells nothing apart


def test_the_gallery_in_training_gets_gradients():
    rows = torch.nn.functional.normalize(torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)), dim=-1)
    trained = Sides(*(side.clone().requires_grad_() for side in rows))
    only = SaferPlusObjective(image_redirection=0, text_proximity=0, image_proximity=0, preservation=0, cross_preservation=0)
    own = Sides(*rows)
    sum(only(trained, Reference(own, rows[0], rows[2])).values()).backward()
    assert trained.unsafe_text.grad.abs().sum() > 0
    assert trained.unsafe_image.grad.abs().sum() > 0  # pushed away from where unsafe captions land
    assert trained.safe_text.grad.abs().sum() == trained.safe_image.grad.abs().sum() == 0


def test_terms_without_pictures_are_left_out():
    own = place(safe_text=[0], unsafe_text=[1])
    assert set(OBJECTIVE(own, Reference(own, EYE[[0]], None))) == {"redirect_text", "preserve_text"}


def test_removals_are_planned_for_the_modalities_that_are_there():
    draw = np.random.default_rng(0)
    rows = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in draw.normal(size=(4, 12, 5)).astype(np.float32)]
    embedded = QuadrupletEmbeddings(*rows)
    pairing = pair_nearest(embedded.unsafe_text, embedded.safe_text)
    assert isinstance(OBJECTIVE, TargetFinder)
    assert set(OBJECTIVE.plan_removals(embedded, pairing)) == {"text", "image"}
    captions = QuadrupletEmbeddings(rows[0], rows[1], rows[0][:0], rows[0][:0])
    assert set(OBJECTIVE.plan_removals(captions, pairing)) == {"text"}
    assert not isinstance(find_trained("safer_clip").objective(), TargetFinder)
