import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.evaluation.geometry import measure_spread, overlap_neighbours, spread_ratio


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_spread_by_hand():
    """Of (1, 0) and (0, 1) the mean is (1/2, 1/2), half a squared unit from each."""
    assert measure_spread(np.eye(2)) == pytest.approx(0.5)
    assert measure_spread(np.ones((3, 1))) == 0
    assert spread_ratio(np.ones((2, 1)), np.eye(2)) == 0
    assert spread_ratio(np.eye(2), np.eye(2)) == pytest.approx(1)


def test_overlap_by_hand():
    """On a line of angles each row's neighbour is the next one; moving row 2 next to row 0 changes rows 0, 1 and 2."""
    angle = np.array([0.0, 0.1, 0.3, 1.0])
    moved = np.array([0.0, 0.1, -0.05, 1.0])
    base, tuned = (np.stack([np.cos(a), np.sin(a)], axis=1) for a in (angle, moved))
    # nearest before: 1, 0, 1, 2; after: 2, 0, 0, 1
    assert overlap_neighbours(tuned, base, 1).tolist() == [0, 1, 0, 0]
    # the two nearest before: {1,2} {0,2} {0,1} {1,2}; after: {1,2} {0,2} {0,1} {0,1}
    assert overlap_neighbours(tuned, base, 2).tolist() == pytest.approx([1, 1, 1, 1 / 3])


@given(st.integers(2, 30), st.integers(0, 99))
def test_a_rotation_changes_nothing(n, seed):
    draw = np.random.default_rng(seed)
    rows = unit(draw.standard_normal((n, 4)))
    turn, _ = np.linalg.qr(draw.standard_normal((4, 4)))
    assert spread_ratio(rows @ turn, rows) == pytest.approx(1)
    assert overlap_neighbours(rows @ turn, rows).mean() == pytest.approx(1, abs=0.05)  # ties may fall otherwise


def test_one_row_has_no_neighbours():
    assert overlap_neighbours(np.eye(1), np.eye(1)).tolist() == [1]
