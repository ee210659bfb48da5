import pytest

from safer_clip.config import TrainConfig
from safer_clip.errors import ConfigError
from safer_clip.estimates import _extrapolate, _Step, estimate_training
from safer_clip.miniature import load_encoder
from safer_clip.models.lora import LoraSettings
from safer_clip.tuning import plan_training


def configure(tmp_path, **settings):
    defaults = {"model": "miniature", "data": "miniature", "rows": 64, "output": tmp_path / "out", "batch_size": 16}
    return TrainConfig(**(defaults | settings)).resolve()


def estimate(config):
    return estimate_training(load_encoder(), config, plan_training(config))


def test_a_larger_batch_is_drawn_through_two_small_ones():
    # 40 bytes a row over 100 that are always there; time grows with the rows of the last one
    steps = [_Step(2, 1.0, 180), _Step(4, 3.0, 260)]
    assert _extrapolate(steps, 8) == (6.0, 420)


def test_an_estimate_counts_parameters_time_and_memory(tmp_path):
    config = configure(tmp_path, lora=LoraSettings(rank=2, targets=("fc1",)))
    found = estimate(config)
    encoder = load_encoder()
    layers = encoder.model.text_model.encoder.layers, encoder.model.vision_model.encoder.layers
    shapes = [layer.mlp.fc1.weight.shape for tower in layers for layer in tower]
    assert found.trained == sum(2 * (rows + columns) for rows, columns in shapes)
    assert found.parameters == sum(weight.numel() for weight in encoder.model.parameters())
    assert found.device == "cpu"
    assert found.memory > 4 * found.parameters
    assert found.encode_seconds > 0 and found.train_seconds > 0
    assert not config.output.exists()  # an estimate leaves nothing behind


def test_memory_grows_with_the_batch_and_shrinks_with_checkpointing(tmp_path):
    small, large = (estimate(configure(tmp_path, batch_size=size, curriculum=())).memory for size in (8, 64))
    assert large > 2 * small
    assert estimate(configure(tmp_path, batch_size=64, curriculum=(), gradient_checkpointing=True)).memory < large / 2


def test_twice_the_steps_take_twice_the_time(tmp_path):
    config = configure(tmp_path, curriculum=())
    plans = [plan_training(config.model_copy(update={"epochs": epochs})) for epochs in (1, 20)]
    once, often = (estimate_training(load_encoder(), config, plan).train_seconds for plan in plans)
    assert often > 5 * once


def test_too_few_rows_for_an_estimate(tmp_path):
    config = configure(tmp_path, rows=3, batch_size=2, curriculum=())
    with pytest.raises(ConfigError, match="needs 4 quadruplets, there are 3"):
        estimate(config)
