"""The pre-training script, on a schedule of six steps."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "pretrain_miniature.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pretrain_miniature", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield module
    torch.use_deterministic_algorithms(deterministic)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def schedule(script):
    small = {"vision_width": 32, "text_width": 32, "vision_layers": 1, "text_layers": 1}
    return script.Schedule(steps=6, batch=16, warmup=2, compiled=False, **small)


@pytest.fixture(scope="module")
def weights(script, schedule, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    script.pretrain(schedule, folder)
    return load_file(folder / "model.safetensors")


def assert_equal(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_the_same_seed_gives_bit_equal_weights(script, schedule, weights, tmp_path):
    script.pretrain(schedule, tmp_path)
    assert_equal(weights, load_file(tmp_path / "model.safetensors"))


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(script, schedule, weights, tmp_path, monkeypatch):
    whole = script.load_batch

    def interrupted(step, *rest):
        if step == 4:
            raise KeyboardInterrupt
        return whole(step, *rest)

    monkeypatch.setattr(script, "load_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        script.pretrain(schedule, tmp_path, save_every=3)
    monkeypatch.setattr(script, "load_batch", whole)
    script.pretrain(schedule, tmp_path, save_every=3)
    assert_equal(weights, load_file(tmp_path / "model.safetensors"))


def test_learning_rate_warms_up_and_falls_to_zero(script, schedule):
    rates = [script.learning_rate(step, schedule) for step in range(schedule.steps + 1)]
    assert max(rates) == pytest.approx(schedule.learning_rate)
    assert rates[0] < rates[1] >= rates[2]
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
