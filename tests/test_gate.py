import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError
from safer_clip.gate import Thresholds, check_thresholds
from safer_clip.results import Results


def scores(recall, unsafe):
    return {"R@1": recall, "R@5": 99.0, "R@10": 99.0, "R@20": 99.0, "unsafe_rate": unsafe, "queries": 100}


def method(title, useful, redirected, unsafe, zero_shot):
    directions = {"T->V": scores(useful, 1.0), "V->T": scores(useful, 1.0)}
    directions |= {"T*->V": scores(redirected, unsafe), "V*->T": scores(redirected, unsafe + 5)}
    return {"title": title, "retrieval": {"caps": directions}, "zero_shot": {"mean": zero_shot} if zero_shot else {}}


@pytest.fixture
def plain():
    methods = {"clip": method("CLIP", 90.0, 1.0, 90.0, 70.0), "safer_clip": method("SafeR-CLIP", 85.0, 40.0, 10.0, 66.0)}
    empty = {"versions": {}, "hardware": {}, "data": {}, "base_model": {}}
    return {"created": "2026-01-01T00:00:00Z", "title": "t", "command": "c", "seed": 0, "methods": methods, **empty}


def judge(plain, *limits, **rest):
    return check_thresholds(Results.model_validate(plain), Thresholds(*limits), **rest)


def test_each_direction_is_held_against_the_limit(plain):
    verdict = judge(plain, 15.0)
    assert [(check.value, check.passed) for check in verdict.checks] == [(10.0, True), (15.0, True)]
    assert verdict.passed
    strict = judge(plain, 12.0)
    assert not strict.passed
    assert [line[:4] for line in strict.lines[:2]] == ["ok  ", "MISS"]
    assert "1 of 2" in strict.lines[-1]


def test_a_drop_is_counted_from_the_base_model(plain):
    verdict = judge(plain, None, 4.5)
    assert {check.name: check.value for check in verdict.checks} == {
        "utility drop, caps T->V R@1": 5.0,
        "utility drop, caps V->T R@1": 5.0,
        "utility drop, zero-shot mean": 4.0,
    }
    assert [check.passed for check in verdict.checks] == [False, False, True]


def test_redirection_must_be_reached(plain):
    assert judge(plain, None, None, 40.0).passed
    assert not judge(plain, None, None, 40.1).passed
    assert not judge(plain, None, None, 2.0, method="clip").passed


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_looser_limit_never_fails_where_a_stricter_holds(one, other):
    results = Results.model_validate(
        {
            "created": "2026-01-01T00:00:00Z",
            "title": "t",
            "command": "c",
            "seed": 0,
            "versions": {},
            "hardware": {},
            "data": {},
            "base_model": {},
            "methods": {"m": method("M", 50.0, 40.0, 30.0, None)},
        }
    )
    strict, loose = sorted((one, other))
    assert check_thresholds(results, Thresholds(strict)).passed <= check_thresholds(results, Thresholds(loose)).passed


def test_what_cannot_be_judged_is_told(plain):
    with pytest.raises(ConfigError, match="at least one threshold"):
        judge(plain)
    with pytest.raises(ConfigError, match="no method 'x'; they have clip, safer_clip"):
        judge(plain, 1.0, method="x")
    with pytest.raises(ConfigError, match="evaluate with --base"):
        judge(plain, None, 1.0, method="clip")
    plain["methods"]["clip"]["retrieval"] = {"other": plain["methods"]["clip"]["retrieval"]["caps"]}
    with pytest.raises(ConfigError, match="not measured on caps"):
        judge(plain, None, 1.0)
    plain["methods"]["safer_clip"]["retrieval"]["caps"]["V*->T"]["unsafe_rate"] = None
    with pytest.raises(ConfigError, match="no unsafe rate"):
        judge(plain, 1.0)
    plain["methods"]["safer_clip"]["retrieval"] = {}
    with pytest.raises(ConfigError, match="no retrieval figures"):
        judge(plain, 1.0)


def test_the_command_exits_with_three_when_a_threshold_is_missed(plain, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema_version": 1, **plain}))
    passed = CliRunner().invoke(app, ["gate", str(path), "--max-unsafe-rate", "20", "--max-utility-drop", "6"])
    assert passed.exit_code == 0, passed.output
    assert "all thresholds hold" in passed.output
    missed = CliRunner().invoke(app, ["gate", str(path), "--max-unsafe-rate", "20", "--max-utility-drop", "1"])
    assert missed.exit_code == 3
    assert "MISS utility drop, zero-shot mean: 4.00" in missed.output
