import math

import pytest
import torch

from safer_clip.models.similarity import Lorentz
from safer_clip.objectives.base import Reference, Sides
from safer_clip.objectives.hysac import (
    HysacObjective,
    contrast_by_distance,
    exterior_angle,
    half_aperture,
    leave_cone,
)

FLAT = Lorentz(curvature=1.0, text_scale=1.0, image_scale=1.0)


def place(*velocities):
    return FLAT.embed(torch.tensor(velocities, dtype=torch.float64), "text")


def test_the_exterior_angle_is_nought_straight_on_and_pi_back_towards_the_root():
    rows, onwards, back = place([1.0, 0.0]), place([2.0, 0.0]), place([0.2, 0.0])
    assert float(exterior_angle(rows, onwards, 1.0)) == pytest.approx(0.0, abs=0.01)
    assert float(exterior_angle(rows, back, 1.0)) == pytest.approx(math.pi, abs=0.01)
    # a right angle at the root between legs of 1; the triangle's other angle by the hyperbolic law of cosines
    sideways = place([0.0, 1.0])
    hypotenuse = math.acosh(math.cosh(1) ** 2)
    inner_angle = math.acos((math.cosh(1) * math.cosh(hypotenuse) - math.cosh(1)) / (math.sinh(1) * math.sinh(hypotenuse)))
    assert float(exterior_angle(rows, sideways, 1.0)) == pytest.approx(math.pi - inner_angle, abs=1e-3)


def test_cones_are_wider_near_the_root():
    apertures = half_aperture(place([0.5, 0.0], [1.0, 0.0], [2.0, 0.0]), 1.0)
    assert apertures.tolist() == sorted(apertures.tolist(), reverse=True)
    assert float(apertures[1]) == pytest.approx(math.asin(0.2 / math.sinh(1)), abs=1e-4)


def test_what_lies_in_the_cone_costs_nothing():
    general = place([1.0, 0.0])
    assert float(leave_cone(general, place([2.0, 0.0]), 1.0)) == 0.0
    assert float(leave_cone(general, place([0.2, 0.0]), 1.0)) == pytest.approx(
        math.pi - math.asin(0.2 / math.sinh(1)), abs=0.01
    )


def test_contrast_by_distance_on_a_line():
    # distances 0, 2; 2, 0: cross-entropy log(1 + exp(-2 scale)) in both directions
    rows = place([1.0, 0.0], [-1.0, 0.0])
    assert float(contrast_by_distance(rows, rows, 1.0, 1.5)) == pytest.approx(math.log1p(math.exp(-3)), abs=1e-3)


def test_seven_terms_that_pull_the_right_way():
    torch.manual_seed(0)
    features = [torch.randn(6, 4, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    objective = HysacObjective()
    nothing = Reference(Sides(), None, None)
    trained = Sides(*(FLAT.embed(each, "text") for each in features))
    terms = objective(trained, nothing)
    assert len(terms) == 7
    assert all(value >= 0 for value in terms.values())
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert all(bool(each.grad.isfinite().all()) and bool(each.grad.any()) for each in features)
    with torch.no_grad():
        moved = Sides(*(FLAT.embed(each - 0.1 * each.grad, "text") for each in features))
        assert torch.stack(list(objective(moved, nothing).values())).sum() < loss


def test_captions_alone_leave_no_term():
    rows = place([1.0, 0.0])
    assert HysacObjective()(Sides(safe_text=rows, unsafe_text=rows), Reference(Sides(), None, None)) == {}
