import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.evaluation.frontier import FrontierPoint, best_safety, best_utility, hypervolume, measure_curve, pareto_front

POINTS = np.array([[0.0, 90.0], [20.0, 80.0], [10.0, 70.0], [40.0, 60.0], [40.0, 50.0]])
ANY = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=8).map(lambda p: np.array(p, float))


def point(strength, safety, zero_shot, recall=50.0):
    sides = {"T*->V": safety, "V*->T": safety}
    utility = {"zero_shot": zero_shot, "recall": recall}
    return FrontierPoint(strength=strength, safety=safety, redirection=sides, unsafe_rate=sides, utility=utility)


def test_what_is_beaten_in_both_is_not_on_the_front():
    assert pareto_front(POINTS).tolist() == [[0.0, 90.0], [20.0, 80.0], [40.0, 60.0]]
    assert pareto_front(np.array([[1.0, 2.0], [1.0, 2.0]])).tolist() == [[1.0, 2.0]]


def test_hypervolume_by_hand():
    # 20 wide and 80 high, then 20 wide and 60 high; the base model at no safety adds nothing
    assert hypervolume(POINTS, (0.0, 0.0)) == 20 * 80 + 20 * 60
    assert hypervolume(POINTS, (0.0, 65.0)) == 20 * 15
    assert hypervolume(POINTS, (50.0, 0.0)) == 0.0


def test_safety_is_interpolated_likewise():
    assert best_safety(POINTS, 90.0) == 0.0
    assert best_safety(POINTS, 70.0) == 30.0
    assert best_safety(POINTS, 10.0) == 40.0
    assert best_safety(POINTS, 90.1) is None


def test_utility_is_interpolated_on_the_front():
    assert best_utility(POINTS, 30.0) == 70.0
    assert best_utility(POINTS, 10.0) == 85.0  # and not the 70 of the point that is beaten
    assert best_utility(POINTS, 40.0) == 60.0
    assert best_utility(POINTS, 40.1) is None
    assert best_utility(POINTS[1:], 5.0) == 80.0


@given(ANY, st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_another_point_never_takes_away(points, other):
    more = np.vstack([points, other])
    assert hypervolume(more, (0.0, 0.0)) >= hypervolume(points, (0.0, 0.0))
    assert 0 <= hypervolume(more, (0.0, 0.0)) <= 10000
    assert hypervolume(points[::-1], (0.0, 0.0)) == hypervolume(points, (0.0, 0.0))


@given(ANY)
def test_hypervolume_is_the_number_of_whole_squares_below_a_point(points):
    grid = np.zeros((100, 100), bool)
    for x, y in points.astype(int):
        grid[:x, :y] = True
    assert hypervolume(points, (0.0, 0.0)) == grid.sum()


@given(ANY, st.lists(st.floats(0, 100), min_size=2, max_size=2))
def test_more_safety_never_leaves_more_utility(points, levels):
    left = [best_utility(points, level) for level in sorted(levels)]
    if left[0] is None:
        assert left[1] is None
    elif left[1] is not None:
        assert left[0] >= left[1]


def test_a_curve_is_measured_against_chance():
    curve = measure_curve([point(1.0, 50.0, 60.0), point(0.0, 0.0, 90.0)], chance=20.0)
    assert [each.strength for each in curve.points] == [0.0, 1.0]
    measure = curve.measures["zero_shot"]
    assert measure.reference == (0.0, 20.0)
    assert measure.hypervolume == pytest.approx(0.5 * 0.5)
    assert measure.utility_at == {"10": 84.0, "20": 78.0, "30": 72.0, "40": 66.0, "50": 60.0}
    assert curve.measures["recall"].hypervolume == pytest.approx(0.5 * 0.5)
    assert "zero_shot" not in measure_curve([point(0.0, 0.0, 0.0)], chance=None).measures


def test_guessing_is_worth_nothing():
    assert measure_curve([point(1.0, 100.0, 19.0)], chance=20.0).measures["zero_shot"].hypervolume == 0.0
