import numpy as np
import pytest

from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.measures import mean_cosine, measure_oracle, measure_pairing
from safer_clip.miniature.scenes import compose_pair
from safer_clip.miniature.splits import ScenePair
from safer_clip.miniature.vocabulary import load_vocabulary


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_mean_cosine_by_hand():
    assert mean_cosine(unit([[1, 0], [1, 0]]), unit([[0, 1], [1, 0]])) == pytest.approx(0.5)


def make_pair(index, subject, place):
    things = load_vocabulary()
    thing = things.find(subject)
    safe, unsafe = (compose_pair(Dice(index), "a", thing, place, things.find(name)) for name in ("kite", "knife"))
    return ScenePair(str(index), safe, unsafe, "", "")


def test_pairing_counts_what_is_shared_in_truth():
    pairs = [make_pair(0, "dog", 1), make_pair(1, "dog", 2), make_pair(2, "cat", 2)]
    safe = np.eye(3)
    unsafe = safe[[0, 2, 0]]  # the nearest safe captions are those of rows 0, 2 and 0
    figures = measure_pairing(unsafe, safe, pairs)
    # subjects: dog = dog, dog = cat, cat = dog; places: 1 = 1, 2 = 2, 2 = 1
    assert figures == {"subject": pytest.approx(100 / 3), "place": pytest.approx(200 / 3), "cosine": pytest.approx(1.0)}


def test_the_oracle_finds_the_safe_partner_when_the_bank_holds_it():
    safe, unsafe = np.eye(6)[:3], unit(np.eye(6)[:3] + 0.6 * np.eye(6)[3:])
    benchmark = QuadrupletEmbeddings(safe, unsafe, safe, unsafe)
    base = measure_oracle(benchmark, QuadrupletEmbeddings(unsafe, unsafe, unsafe, unsafe), 1)
    moved = measure_oracle(benchmark, benchmark, 1)
    assert base["T*->V"]["untouched"]["R@1"] == 0.0
    assert moved["T*->V"]["untouched"]["R@1"] == 100.0
    # once the gallery's unsafe items land on the same targets, safe and unsafe tie, and a tie is no success
    assert moved["T*->V"]["redirected"]["R@1"] == 0.0
