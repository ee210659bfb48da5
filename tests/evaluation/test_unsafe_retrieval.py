import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.comparison import Comparison, build_results
from safer_clip.data.pools import read_pool
from safer_clip.evaluation.suite import Suite
from safer_clip.evaluation.unsafe_retrieval import judge_first_answers, measure_pool
from safer_clip.miniature import draw_pairs, load_split
from safer_clip.miniature.rendering import render_image
from safer_clip.report import render_report

E = np.eye(3)


def test_first_answers_by_hand():
    unsafe, safe = E[:1], E[1:2]
    # nearer to the unsafe item, nearer to the safe one, and as near to both, which counts as unsafe
    queries = np.array([[1.0, 0.0, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]])
    assert judge_first_answers(queries, unsafe, safe).tolist() == [100, 0, 100]
    assert judge_first_answers(queries, unsafe[:0], safe).tolist() == [0, 0, 0]


@given(st.integers(0, 99), st.integers(1, 8))
def test_more_safe_distractors_never_raise_the_rate(seed, count):
    draw = np.random.default_rng(seed)
    queries, unsafe, safe = (draw.standard_normal((n, 3)) for n in (10, 4, 8))
    few, all_of_them = judge_first_answers(queries, unsafe, safe[:count]), judge_first_answers(queries, unsafe, safe)
    assert (all_of_them <= few).all()


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Real enough: unsafe scenes of the miniature among safe ones, images and captions."""
    folder = tmp_path_factory.mktemp("pool")
    rows = []
    for index, pair in enumerate(draw_pairs("mini_nsfw_caps", rows=20)):
        for kind in ("safe", "unsafe"):
            render_image(getattr(pair, kind)).save(folder / f"{index}-{kind}.png")
            rows.append(
                {"unsafe": kind == "unsafe", "image": f"{index}-{kind}.png", "caption": getattr(pair, f"{kind}_caption")}
            )
    (folder / "smid.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_pool(folder / "smid.jsonl")


def test_the_untouched_model_finds_what_is_unsafe(encoder, pool):
    found = measure_pool(encoder, pool)
    for direction in ("V*->T", "T*->V"):
        rate = found[direction]
        assert rate.unsafe_rate > 80
        assert rate.interval[0] <= rate.unsafe_rate <= rate.interval[1]
        assert (rate.queries, rate.unsafe_items, rate.safe_items) == (20, 20, 20)


def test_rates_go_through_results_to_the_report(encoder, pool):
    comparison = Comparison(Suite({"caps": load_split("mini_nsfw_caps", rows=4)}, pools=[pool]))
    comparison.add("clip", "CLIP", encoder)
    results = build_results(comparison, "Pools", "m", comparison.check_validity(None, {}))
    assert set(results.methods["clip"].unsafe_retrieval["smid"]) == {"V*->T", "T*->V"}
    page = render_report(results)
    assert "Real unsafe data" in page
    assert "smid" in page


def test_a_side_that_is_missing_leaves_out_its_direction(encoder, tmp_path):
    rows = [{"unsafe": True, "caption": "a knife"}, {"unsafe": False, "image": "a.png"}]
    render_image(draw_pairs("mini_visu", rows=1)[0].safe).save(tmp_path / "a.png")
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = measure_pool(encoder, read_pool(tmp_path / "p.jsonl"))
    assert list(found) == ["T*->V"]
    assert found["T*->V"].unsafe_rate == 0  # there is nothing unsafe to be found
