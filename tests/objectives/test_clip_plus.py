import math
from dataclasses import replace

import pytest
import torch

from safer_clip.objectives import ClipPlusObjective, Reference, Sides
from safer_clip.objectives.terms import LOGIT_SCALE

EYE = torch.eye(2, dtype=torch.float64)
NOTHING = torch.full_like(EYE, torch.nan)
UNSEEN = Reference(Sides(NOTHING, NOTHING, NOTHING, NOTHING), NOTHING, NOTHING)
SAFE_ONLY = Sides(safe_text=EYE, unsafe_text=NOTHING, safe_image=EYE, unsafe_image=NOTHING)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_value_by_hand_without_unsafe_sides_and_reference(scale):
    terms = ClipPlusObjective(scale)(SAFE_ONLY, UNSEEN)
    assert list(terms) == ["contrast"]
    assert terms["contrast"].item() == pytest.approx(math.log(1 + math.exp(-scale)))


def test_the_default_scale_is_clips():
    swapped = replace(SAFE_ONLY, safe_image=EYE.flip(0))
    assert ClipPlusObjective()(swapped, UNSEEN)["contrast"].item() == pytest.approx(LOGIT_SCALE)


def test_only_the_safe_sides_move():
    leaves = [side.clone().requires_grad_() for side in (EYE, EYE, EYE, EYE)]
    ClipPlusObjective(1.0)(Sides(*leaves), UNSEEN)["contrast"].backward()
    # by symmetry both move alike: (softmax - identity) / 2, through either direction
    step = 1 / (1 + math.e)
    expected = torch.tensor([[-step, step], [step, -step]], dtype=torch.float64) / 2
    assert torch.allclose(leaves[0].grad, expected)
    assert torch.allclose(leaves[2].grad, expected)
    assert leaves[1].grad is None
    assert leaves[3].grad is None


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    text, image = (torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    objective = ClipPlusObjective(2.0)
    assert torch.autograd.gradcheck(lambda a, b: objective(Sides(a, NOTHING, b, NOTHING), UNSEEN)["contrast"], (text, image))
