import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.evaluation.oracle import nearest_rows, redirect_unsafe
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_nearest_is_ordered_and_breaks_ties_to_the_lowest_index():
    bank = unit([[0, 1], [1, 0], [1, 0], [1, 1]])
    assert nearest_rows(unit([[1, 0]]), bank, 3).tolist() == [[1, 2, 3]]


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_chunks_do_not_change_the_answer(chunk, count, seed):
    draw = np.random.default_rng(seed)
    queries, bank = draw.standard_normal((7, 3)), draw.standard_normal((12, 3))
    expected = [sorted(range(12), key=lambda j, q=query: -(q @ bank[j]))[:count] for query in queries]
    assert nearest_rows(queries, bank, count, chunk).tolist() == expected


def test_unsafe_items_become_their_targets_by_hand():
    """The nearest two of (1, 0) are (1, 0) itself and (0.8, 0.6): their mean (0.9, 0.3) has norm sqrt(0.9)."""
    unsafe = np.array([[1.0, 0.0]])
    benchmark = QuadrupletEmbeddings(safe_text=unsafe, unsafe_text=unsafe, safe_image=unsafe, unsafe_image=-unsafe)
    bank = np.array([[0.0, 1.0], [1.0, 0.0], [0.8, 0.6]])
    training = QuadrupletEmbeddings(safe_text=bank, unsafe_text=-bank, safe_image=bank, unsafe_image=-bank)
    moved = redirect_unsafe(benchmark, training, 2)
    assert moved.unsafe_text[0] == pytest.approx(np.array([0.9, 0.3]) / 0.9**0.5)
    assert moved.safe_text is benchmark.safe_text
    # pictures look among pictures: the nearest of (-1, 0) are (0, 1) and (0.8, 0.6)
    assert moved.unsafe_image[0] == pytest.approx(np.array([0.4, 0.8]) / 0.8**0.5)
