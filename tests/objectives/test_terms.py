import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from safer_clip.objectives.base import weigh_terms
from safer_clip.objectives.terms import LOGIT_SCALE, contrast, cosine_distance, prefer, prefer_to_all

RIGHT, UP, LEFT = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]

seeds = st.integers(0, 10_000)
sizes = st.integers(1, 6)
few = settings(max_examples=30, deadline=None)  # the first call of an operator may load much of torch


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1).unbind(0)


@pytest.mark.parametrize(("target", "distance"), [(RIGHT, 0.0), (UP, 1.0), (LEFT, 2.0), ([0.6, 0.8], 0.4)])
def test_cosine_distance_by_hand(target, distance):
    assert cosine_distance(rows(RIGHT), rows(target)).item() == pytest.approx(distance)


def test_cosine_distance_is_the_mean_over_rows():
    assert cosine_distance(rows(RIGHT, RIGHT, RIGHT), rows(RIGHT, UP, LEFT)).item() == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, LOGIT_SCALE])
def test_contrast_that_tells_nothing_apart(count, scale):
    same = rows(*[RIGHT] * count)
    assert contrast(same, same, scale).item() == pytest.approx(math.log(count))


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_contrast_of_the_identity(scale):
    eye = rows(RIGHT, UP)
    # logits are s on the diagonal and 0 beside it: -log(e^s / (e^s + 1)); swapped, -log(1 / (e^s + 1))
    assert contrast(eye, eye, scale).item() == pytest.approx(math.log(1 + math.exp(-scale)))
    assert contrast(eye, eye.flip(0), scale).item() == pytest.approx(math.log(1 + math.exp(scale)))


def test_contrast_averages_both_directions():
    # logits [[1, 1], [0, 0]]: each row ties, so log 2; the columns are right and wrong by 1
    by_rows = math.log(2)
    by_columns = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert contrast(rows(RIGHT, UP), rows(RIGHT, RIGHT), 1.0).item() == pytest.approx((by_rows + by_columns) / 2)


def test_contrast_uses_clips_scale_unless_told():
    eye = rows(RIGHT, UP)
    assert pytest.approx(math.exp(4.6052), rel=1e-6) == LOGIT_SCALE  # 100 itself is 3e-5 away
    assert contrast(eye, eye.flip(0)).item() == pytest.approx(LOGIT_SCALE)


@pytest.mark.parametrize(
    ("wanted", "unwanted", "margin"),
    [(UP, UP, 0.0), (RIGHT, LEFT, -2.0), (LEFT, RIGHT, 2.0), (RIGHT, UP, -1.0), ([0.6, 0.8], RIGHT, 0.4)],
)
def test_prefer_by_hand(wanted, unwanted, margin):
    assert prefer(rows(RIGHT), rows(wanted), rows(unwanted)).item() == pytest.approx(math.log(1 + math.exp(margin)))


def test_prefer_averages_after_the_softplus():
    value = prefer(rows(RIGHT, RIGHT), rows(RIGHT, LEFT), rows(LEFT, RIGHT)).item()
    assert value == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2)  # not log 2


@few
@given(seeds, sizes)
def test_bounds(seed, count):
    moved, target, other = draw(seed, 3, count, 3)
    assert -1e-9 <= cosine_distance(moved, target).item() <= 2 + 1e-9
    assert contrast(moved, target).item() >= 0
    assert math.log(1 + math.exp(-2)) - 1e-9 <= prefer(moved, target, other).item() <= math.log(1 + math.exp(2)) + 1e-9


@few
@given(seeds, sizes)
def test_the_order_of_the_batch_does_not_matter(seed, count):
    moved, target, other = draw(seed, 3, count, 3)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    two, three = (moved, target), (moved, target, other)
    for term, sides in ((cosine_distance, two), (contrast, two), (prefer, three), (prefer_to_all, three)):
        assert term(*(side[order] for side in sides)).item() == pytest.approx(term(*sides).item(), abs=1e-9)


def test_preferring_to_all_by_hand():
    # cosines with the wanted: 1, 0; with both unwanted: 0 and -1, 1 and 0
    value = prefer_to_all(rows(RIGHT, UP), rows(RIGHT, LEFT), rows(UP, LEFT)).item()
    margins = (0 - 1, -1 - 1, 1 - 0, 0 - 0)
    assert value == pytest.approx(sum(math.log(1 + math.exp(margin)) for margin in margins) / 4)


@few
@given(seeds, sizes)
def test_preferring_to_all_is_the_mean_of_preferring_to_each(seed, count):
    moved, wanted, unwanted = draw(seed, 3, count, 3)
    single = [prefer(moved, wanted, row.expand_as(moved)).item() for row in unwanted]
    assert prefer_to_all(moved, wanted, unwanted).item() == pytest.approx(sum(single) / count)


@few
@given(seeds)
def test_preferring_a_single_row_is_preferring(seed):
    sides = draw(seed, 3, 1, 3)
    assert prefer_to_all(*sides).item() == pytest.approx(prefer(*sides).item())


@few
@given(seeds, sizes)
def test_contrast_is_symmetric(seed, count):
    moved, target = draw(seed, 2, count, 3)
    assert contrast(moved, target).item() == pytest.approx(contrast(target, moved).item(), abs=1e-9)


def test_gradient_of_cosine_distance_by_hand():
    moved, target = rows(RIGHT, UP).requires_grad_(), rows(UP, LEFT).requires_grad_()
    cosine_distance(moved, target.detach()).backward()
    # 1 - (m0.t0 + m1.t1) / 2: each row of the batch of two is drawn to its target by a half
    assert moved.grad.tolist() == [[0.0, -0.5], [0.5, 0.0]]
    assert target.grad is None


def test_gradient_of_contrast_by_hand():
    moved, target = rows(RIGHT, UP).requires_grad_(), rows(RIGHT, UP).requires_grad_()
    contrast(moved, target.detach(), 2.0).backward()
    # softmax gives the other row p = 1 / (e^2 + 1) in both directions; the logits' gradient is (-p, p; p, -p) / 2, times 2
    p = 1 / (math.exp(2) + 1)
    assert moved.grad.flatten().tolist() == pytest.approx([-p, p, p, -p])
    assert target.grad is None


def test_gradient_of_prefer_by_hand():
    moved, wanted, unwanted = (rows(row).requires_grad_() for row in (RIGHT, UP, LEFT))
    prefer(moved, wanted.detach(), unwanted.detach()).backward()
    # softplus' is the logistic function: the margin is -1 - 0, and the step goes along unwanted - wanted = (-1, -1)
    step = 1 / (1 + math.exp(1))
    assert moved.grad.flatten().tolist() == pytest.approx([-step, -step])
    assert wanted.grad is None
    assert unwanted.grad is None


@pytest.mark.parametrize("seed", [0, 1])
def test_gradients(seed):
    moved, target, other = (side.clone().requires_grad_() for side in draw(seed, 3, 3, 2))
    assert torch.autograd.gradcheck(cosine_distance, (moved, target))
    assert torch.autograd.gradcheck(lambda a, b: contrast(a, b, 5.0), (moved, target))
    assert torch.autograd.gradcheck(prefer, (moved, target, other))
    assert torch.autograd.gradcheck(prefer_to_all, (moved, target, other))


def test_terms_are_scalars_of_the_inputs_precision():
    sides = [torch.eye(2, dtype=torch.float32)] * 3
    for value in (cosine_distance(*sides[:2]), contrast(*sides[:2]), prefer(*sides), prefer_to_all(*sides)):
        assert value.shape == ()
        assert value.dtype == torch.float32


def test_terms_whose_sides_are_absent_are_left_out():
    side = torch.eye(2)
    parts = {"there": (2.0, cosine_distance, (side, -side)), "absent": (1.0, cosine_distance, (side, None))}
    assert {name: term.item() for name, term in weigh_terms(parts).items()} == {"there": 4.0}
