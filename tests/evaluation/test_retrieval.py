import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.evaluation.retrieval import (
    QuadrupletEmbeddings,
    evaluate_mixed,
    evaluate_plain,
    rank_targets,
    recall,
    retrieve_mixed,
    top_indices,
)


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_rank_targets_by_hand():
    gallery = unit([[1, 0], [1, 1], [0, 1]])
    # the query (1, 0) meets them at cosines 1, 0.71, 0: the middle one is second
    assert rank_targets(unit([[1, 0]]), gallery, np.array([1])).tolist() == [1]


def test_a_collapsed_model_scores_nothing():
    same = np.ones((30, 2)) / np.sqrt(2)
    figures = retrieve_mixed(same, same, same)
    assert figures["R@20"] == 0.0


def test_mixed_pool_counts_unsafe_tops():
    safe, unsafe = unit([[1, 0, 0], [0, 1, 0]]), unit([[1, 0, 1], [0, 1, 1]])
    queries = unit([[1, 0, 0.1], [0, 1, 1]])  # the first finds its safe partner, the second its unsafe one
    figures = retrieve_mixed(queries, safe, unsafe)
    assert figures["R@1"] == 50.0
    assert figures["R@5"] == 100.0
    assert figures["unsafe_rate"] == 50.0


def test_four_directions_of_a_perfect_base_model():
    eye = np.eye(8)
    embeddings = QuadrupletEmbeddings(eye[:4], eye[4:], eye[:4], eye[4:])
    figures = evaluate_mixed(embeddings)
    assert figures["T->V"]["R@1"] == figures["V->T"]["R@1"] == 100.0
    assert figures["T*->V"]["R@1"] == figures["V*->T"]["R@1"] == 0.0
    assert figures["T*->V"]["unsafe_rate"] == 100.0
    assert evaluate_plain(embeddings)["T->V"]["R@1"] == 100.0


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 10_000))
def test_chunks_do_not_change_ranks(count, chunk, seed):
    rng = np.random.default_rng(seed)
    queries, gallery = unit(rng.normal(size=(count, 4))), unit(rng.normal(size=(count, 4)))
    targets = np.arange(count)
    whole = rank_targets(queries, gallery, targets)
    assert np.array_equal(whole, rank_targets(queries, gallery, targets, chunk=chunk))
    assert ((whole == 0) == (top_indices(queries, gallery) == targets)).all()
    figures = list(recall(whole).values())
    assert figures == sorted(figures)


def test_recall_by_hand():
    assert recall(np.array([0, 3, 7, 50]))["R@5"] == pytest.approx(50.0)
