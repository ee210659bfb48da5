import numpy as np
import pytest

from safer_clip.attacks.outcomes import draw_curve
from safer_clip.attacks.running import attack_model
from safer_clip.attacks.settings import AttackSettings
from safer_clip.evaluation.directions import judge_directions
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.miniature import load_split
from safer_clip.reference import encode_table


def test_a_curve_by_hand():
    curve = draw_curve({0: np.array([True, False, False, False]), 2: np.array([True, True, True, False])}, 0, 1)
    assert {budget: rate.success for budget, rate in curve.rates.items()} == {"0": 25.0, "2": 75.0}
    assert curve.rates["2"].interval == (25.0, 100.0)  # as of any mean of four with three right
    assert (curve.queries, curve.immovable) == (4, 1)


def test_without_an_attack_it_is_ordinary_retrieval_and_success_never_falls(encoder):
    table = load_split("mini_nsfw_caps", rows=16)
    embeddings = encode_table(encoder, table)
    found = attack_model(encoder, table, embeddings, AttackSettings(quadruplets=16, candidates=8, steps=2))
    judged = judge_directions(embeddings)
    # an untouched model finds the unsafe partner itself: with 16 scenes of different things, whenever it errs towards unsafe
    assert found.captions.rates["0"].success <= judged["T*->V"]["unsafe_rate"].mean()
    assert found.captions.rates["0"].success > 80
    assert list(found.captions.rates) == ["0", "1", "2", "4"]
    assert list(found.pictures.rates) == ["0", "1", "2", "4", "8"]
    for curve in (found.captions, found.pictures):
        rates = [rate.success for rate in curve.rates.values()]
        assert rates == sorted(rates)
        assert curve.queries == 16


def test_a_collapsed_gallery_is_never_won(encoder):
    table = load_split("mini_nsfw_caps", rows=6)
    embeddings = encode_table(encoder, table)
    point = np.repeat(embeddings.safe_text[:1], 6, axis=0)
    collapsed = QuadrupletEmbeddings(point, point, point, point)
    found = attack_model(encoder, table, collapsed, AttackSettings(quadruplets=3, candidates=4, steps=1))
    assert all(rate.success == 0 for curve in (found.captions, found.pictures) for rate in curve.rates.values())


def test_the_sample_is_drawn_by_the_seed(encoder):
    table = load_split("mini_nsfw_caps", rows=12)
    embeddings = encode_table(encoder, table)
    settings = AttackSettings(quadruplets=4, candidates=4, steps=1, tokens=(1,), pixels=(1,), seed=5)
    assert attack_model(encoder, table, embeddings, settings) == attack_model(encoder, table, embeddings, settings)
    assert attack_model(encoder, table, embeddings, settings).seed == pytest.approx(5)
