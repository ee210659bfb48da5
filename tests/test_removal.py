import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.errors import ConfigError
from safer_clip.removal import RemovalSettings, plan_removal, remove, span_differences

SAFE = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], np.float32)
UNSAFE = np.array([[0.6, 0, 0.8, 0], [0, 0.6, 0.8, 0]], np.float32)
OWN = np.array([0, 1])


def plan(share=0.5, strength=1.0, drawn=0.0, neighbours=10):
    return plan_removal(UNSAFE, SAFE, OWN, RemovalSettings(share, strength, drawn, neighbours))


def test_directions_of_difference():
    safe = np.zeros((3, 3))
    unsafe = np.array([[3.0, 0, 0], [-3.0, 0, 0], [0, 0, 1.0]])
    directions, lengths = span_differences(unsafe, safe)
    assert np.abs(directions[:, :2].T) == pytest.approx(np.array([[1.0, 0, 0], [0, 0, 1.0]]))
    assert lengths == pytest.approx([18.0, 1.0, 0.0])


def test_what_is_unsafe_is_taken_out_and_the_rest_stays():
    """Both pairs differ by (-0.4, 0, 0.8) and (0, -0.4, 0.8): what they share is mostly the third axis."""
    removal = plan()
    assert removal.directions.shape == (4, 1)
    found = removal.find_targets(UNSAFE, SAFE, OWN)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0)
    assert found @ removal.directions == pytest.approx(0, abs=1e-6)
    assert found[0, 0] > found[0, 1] + 0.5  # the first still shows what it showed
    assert np.abs(found[:, 3]).max() == 0


def test_a_share_of_nothing_and_a_strength_of_nothing_leave_items_as_they_are():
    for settings in ({"share": 0.0}, {"strength": 0.0}):
        assert plan(**settings).find_targets(UNSAFE, SAFE, OWN) == pytest.approx(UNSAFE)


def test_drawn_altogether_they_are_at_the_middle_of_their_safe_neighbours():
    expected = np.array([0.5, 0.5, 0, 0]) / np.sqrt(0.5)
    assert plan(drawn=1.0).find_targets(UNSAFE, SAFE, OWN) == pytest.approx(np.stack([expected, expected]))


def test_a_single_neighbour_is_the_nearest():
    assert plan(drawn=1.0, neighbours=1).find_targets(UNSAFE, SAFE, OWN) == pytest.approx(SAFE)


def test_rows_are_found_by_their_number():
    both = plan(drawn=0.3).find_targets(UNSAFE, SAFE, OWN)
    assert plan(drawn=0.3).find_targets(UNSAFE, SAFE, np.array([1])) == pytest.approx(both[1:])


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"drawn": -0.1}, {"strength": -1.0}, {"neighbours": 0}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="removal takes a share and a draw from 0 to 1"):
        plan(**wrong)


@given(st.integers(0, 2**32 - 1), st.floats(0, 2))
def test_only_the_given_directions_change(seed, strength):
    draw = np.random.default_rng(seed)
    directions = np.linalg.qr(draw.normal(size=(6, 2)))[0].astype(np.float32)
    rows = draw.normal(size=(3, 6)).astype(np.float32)
    moved = rows - strength * (rows @ directions) @ directions.T
    found = remove(rows, directions, strength)
    assert (found * moved).sum(1) / np.linalg.norm(moved, axis=1) == pytest.approx(1.0, abs=1e-3)
