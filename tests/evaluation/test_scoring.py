import numpy as np
import pytest

from safer_clip.evaluation.retrieval import QuadrupletEmbeddings, evaluate_mixed
from safer_clip.evaluation.scoring import (
    collapse_sides,
    score_against,
    score_direction,
    score_mixed,
    score_plain,
    score_zero_shot,
    shuffle_sides,
)


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def embeddings():
    draw = np.random.default_rng(0)
    return QuadrupletEmbeddings(*(unit(draw.normal(size=(60, 8))) for _ in range(4)))


def test_figures_equal_the_plain_functions(embeddings):
    scores, plain = score_mixed(embeddings), evaluate_mixed(embeddings)
    for direction, figures in plain.items():
        told = scores[direction].model_dump(by_alias=True)
        assert {name: told[name] for name in figures} == pytest.approx(figures)


def test_intervals_hold_their_figures(embeddings):
    for score in score_mixed(embeddings).values():
        told = score.model_dump(by_alias=True)
        assert set(score.intervals) == {"R@1", "R@5", "R@10", "R@20", "unsafe_rate"}
        assert all(low <= told[name] <= high for name, (low, high) in score.intervals.items())


def test_one_direction_by_hand():
    queries = unit([[1, 0, 0], [0, 1, 0]])
    safe = unit([[1, 0, 0], [0, 1, 1]])
    unsafe = unit([[0, 1, 0.1], [0, 0, 1]])
    mixed = score_direction(queries, safe, unsafe)
    # the first query finds its answer; the second's, at cosine 0.71, stands behind the first unsafe item's 0.995
    assert (mixed.recall_1, mixed.recall_5, mixed.unsafe_rate, mixed.queries) == (50.0, 100.0, 50.0, 2)
    plain = score_direction(queries, safe, None)
    assert (plain.recall_1, plain.unsafe_rate) == (100.0, None)


def test_the_gallery_of_another_model_is_used(embeddings):
    swapped = QuadrupletEmbeddings(embeddings.safe_text, embeddings.unsafe_text, embeddings.safe_text, -embeddings.safe_text)
    assert score_against(embeddings, swapped)["T->V"].recall_1 == 100.0
    assert score_mixed(embeddings)["T->V"].recall_1 < 20.0


def test_plain_pools_have_no_unsafe_rate(embeddings):
    scores = score_plain(embeddings)
    assert list(scores) == ["T->V", "V->T", "T*->V", "V*->T"]
    assert all(score.unsafe_rate is None for score in scores.values())


def test_controls_score_nothing():
    perfect = QuadrupletEmbeddings(np.eye(80)[:40], np.eye(80)[40:], np.eye(80)[:40], np.eye(80)[40:])
    assert score_mixed(perfect)["T->V"].recall_1 == 100.0
    assert score_mixed(shuffle_sides(perfect))["T->V"].recall_1 < 20.0
    assert score_mixed(collapse_sides(perfect))["T->V"].recall_20 == 0.0


def test_zero_shot_by_hand():
    answers = {"groups": (np.array([0, 1, 1, 0]), [0, 1, 0, 0]), "places": (np.array([2, 2]), [2, 2])}
    figures, intervals = score_zero_shot(answers)
    assert figures == {"groups": 75.0, "places": 100.0, "mean": 87.5}
    assert intervals["places"] == (100.0, 100.0)
    # of four draws with 3/4: none right in 0.4 %, at most one in 5.1 %, so the 2.5 % quantile is one of four
    assert intervals["groups"] == (25.0, 100.0)
    assert intervals["mean"][0] < 87.5
