import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.repeating.averaging import average_trees, combine_intervals, list_intervals, spread_of_mean, student_quantile

FIGURES = st.lists(st.floats(0, 100), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (1000, 1.962)]
)
def test_quantiles_are_those_of_the_tables(freedom, expected):
    assert student_quantile(freedom) == pytest.approx(expected, abs=0.01)


def test_three_seeds_spread_by_students_t():
    # standard deviation 1, standard error 1 / sqrt(3), t 4.303
    assert spread_of_mean([1.0, 2.0, 3.0]) == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert spread_of_mean([7.0]) == 0.0


def test_queries_and_seeds_add_in_quadrature():
    values, bounds = [49.0, 51.0, 50.0], [(46.0, 53.0), (48.0, 55.0), (47.0, 54.0)]
    seeds = 4.3027 / math.sqrt(3)
    low, high = combine_intervals(values, bounds)
    assert low == pytest.approx(50 - math.hypot(3, seeds), abs=1e-3)
    assert high == pytest.approx(50 + math.hypot(4, seeds), abs=1e-3)


def test_a_single_seed_keeps_its_own_interval_and_limits_hold():
    assert combine_intervals([40.0], [(35.0, 44.0)]) == (35.0, 44.0)
    assert combine_intervals([1.0, 3.0], None, (0.0, 100.0))[0] == 0.0


@given(FIGURES)
def test_the_mean_lies_in_its_interval(values):
    low, high = combine_intervals(values, [(value, value) for value in values])
    mean = sum(values) / len(values)
    assert low - 1e-9 <= mean <= high + 1e-9


SCORE = {"R@1": 10.0, "queries": 5, "intervals": {"R@1": (8.0, 13.0)}}


def test_trees_are_averaged_leaf_by_leaf():
    trees = [
        {
            "title": "A",
            "retrieval": {"b": SCORE},
            "drift": [[1.0, 2.0]],
            "changed": {"changed": 4.0, "interval": (2.0, 6.0)},
        },
        {
            "title": "A",
            "retrieval": {"b": {"R@1": 10.0, "queries": 5, "intervals": {"R@1": (6.0, 11.0)}}},
            "drift": [[3.0, 2.0]],
            "changed": {"changed": 4.0, "interval": (3.0, 5.0)},
            "only here": 1,
        },
    ]
    found = average_trees(trees)
    assert found["title"] == "A"
    assert found["retrieval"]["b"] == {"R@1": 10.0, "queries": 5, "intervals": {"R@1": (7.0, 12.0)}}
    assert found["drift"] == [[2.0, 2.0]]
    assert found["changed"] == {"changed": 4.0, "interval": (2.5, 5.5)}
    assert "only here" not in found
    assert dict(list_intervals(found)) == {"retrieval/b/R@1": (7.0, 12.0), "changed/changed": (2.5, 5.5)}


def test_zero_shot_intervals_stand_beside_their_figures():
    tree = {"zero_shot": {"mean": 50.0}, "zero_shot_intervals": {"mean": (45.0, 55.0)}}
    assert average_trees([tree, tree])["zero_shot_intervals"] == {"mean": (45.0, 55.0)}
    assert dict(list_intervals(tree)) == {"zero_shot/mean": (45.0, 55.0)}
