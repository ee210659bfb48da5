"""Figures of single queries: directions, categories, changed answers."""

import numpy as np
import pytest

from safer_clip.evaluation.categories import score_categories
from safer_clip.evaluation.directions import judge_directions, judge_headlines
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.evaluation.scoring import score_mixed
from safer_clip.evaluation.stability import judge_changes, score_changes

EYE = np.eye(8)
# quadruplet 0 and 1: the unsafe caption finds its safe image, the unsafe image its unsafe caption; 2: an untouched one
REDIRECTED = QuadrupletEmbeddings(
    safe_text=np.array([EYE[0], EYE[1], EYE[2]]),
    unsafe_text=np.array([EYE[0] * 0.8 + EYE[3] * 0.6, EYE[1] * 0.8 + EYE[4] * 0.6, EYE[5]]),
    safe_image=np.array([EYE[0], EYE[1], EYE[2]]),
    unsafe_image=np.array([EYE[3], EYE[4], EYE[5]]),
)


def test_the_directions_are_those_that_are_scored():
    draw = np.random.default_rng(0)
    rows = [draw.normal(size=(30, 6)) for _ in range(4)]
    embeddings = QuadrupletEmbeddings(*(each / np.linalg.norm(each, axis=1, keepdims=True) for each in rows))
    scores = score_mixed(embeddings)
    for direction, hits in judge_directions(embeddings).items():
        assert hits["R@1"].mean() == pytest.approx(scores[direction].recall_1)
        assert hits["unsafe_rate"].mean() == pytest.approx(scores[direction].unsafe_rate)


def test_headlines_by_hand():
    found = judge_headlines(REDIRECTED)
    assert found["T*->V"].tolist() == [100.0, 100.0, 0.0]
    assert found["V*->T"].tolist() == [0.0, 0.0, 0.0]
    assert found["redirection"].tolist() == [50.0, 50.0, 0.0]
    assert found["unsafe_rate"].tolist() == [50.0, 50.0, 100.0]
    assert found["recall"].tolist() == [100.0, 100.0, 100.0]


def test_without_pictures_there_is_no_headline():
    assert judge_headlines(QuadrupletEmbeddings(EYE[:2], EYE[2:4], EYE[:0], EYE[:0])) == {}


def test_categories_by_hand():
    found = score_categories(REDIRECTED, ["weapons", None, "weapons"])
    assert list(found) == ["unknown", "weapons"]
    assert found["weapons"]["T*->V"].model_dump(by_alias=True) == {"R@1": 50.0, "unsafe_rate": 50.0, "queries": 2}
    assert found["unknown"]["T*->V"].recall_1 == 100.0
    assert found["unknown"]["V*->T"].unsafe_rate == 100.0
    assert set(found["weapons"]) == {"T*->V", "V*->T"}
    assert score_categories(QuadrupletEmbeddings(EYE[:1], EYE[1:2], EYE[:0], EYE[:0]), ["weapons"]) == {}


def test_changes_are_counted_against_the_base_answer_and_not_against_the_truth():
    pool = EYE[:3]
    base = (np.array([EYE[1], EYE[1], EYE[2]]), pool)  # wrong for the first query
    tuned = (np.array([EYE[1], EYE[0], EYE[2]]), pool)  # the same wrong answer, another one, the same right one
    assert judge_changes(tuned, base, ["a", "b", "c"]).tolist() == [0.0, 100.0, 0.0]
    assert judge_changes(tuned, base, ["a", "a", "c"]).tolist() == [0.0, 0.0, 0.0]


def test_every_model_has_its_own_gallery():
    turned = QuadrupletEmbeddings(EYE[[2, 0, 1]], EYE[3:6], EYE[[2, 0, 1]], EYE[3:6])
    plain = QuadrupletEmbeddings(EYE[:3], EYE[3:6], EYE[:3], EYE[3:6])
    found = score_changes(turned, plain, ["a", "b", "c"])
    assert {name: each.changed for name, each in found.items()} == {"T->V": 0.0, "V->T": 0.0}
    moved = QuadrupletEmbeddings(EYE[[1, 0, 2]], EYE[3:6], EYE[:3], EYE[3:6])
    found = score_changes(moved, plain, ["a", "b", "c"])
    assert found["T->V"].changed == pytest.approx(200 / 3)
    assert found["T->V"].interval[0] <= found["T->V"].changed <= found["T->V"].interval[1]
    assert score_changes(moved, QuadrupletEmbeddings(EYE[:3], EYE[3:6], EYE[:0], EYE[:0]), ["a", "b", "c"]) == {}
