from dataclasses import replace
from pathlib import Path

import pytest

from safer_clip.config import TrainConfig, load_config, parse_settings
from safer_clip.errors import ConfigError
from safer_clip.methods import EDITS, METHODS

BASIC = {"model": "miniature", "data": "miniature", "output": "out"}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_is_not_set_is_the_methods_choice(name):
    method, config = METHODS[name], TrainConfig(**BASIC, method=name).resolve()
    for choice in ("epochs", "batch_size", "learning_rate", "pairing", "curriculum", "lora"):
        assert getattr(config, choice) == getattr(method, choice)
    assert config.resolve() == config


def test_what_is_set_stays():
    config = TrainConfig(**BASIC, epochs=2, curriculum=(), lora={"rank": 4}).resolve()
    assert (config.epochs, config.curriculum, config.lora.rank) == (2, (), 4)
    assert config.batch_size == METHODS["safer_clip"].batch_size


def test_resolving_checks_method_and_objective():
    with pytest.raises(ConfigError, match=r"did you mean 'safe_clip'\?"):
        TrainConfig(**BASIC, method="safe_clipp").resolve()
    with pytest.raises(ConfigError, match="no setting weights"):
        TrainConfig(**BASIC, method="clip_plus", objective={"weights": 1.0}).resolve()


def test_yaml_and_what_wins_over_it(tmp_path):
    path = write(
        tmp_path,
        "model: miniature\ndata: miniature\noutput: a\nseed: 3\nlearning_rate: 1e-5\ncurriculum: [0.5]\n"
        "lora: {rank: 4, targets: [fc1]}\nobjective: {uni_modal: 2}\n",
    )
    config = load_config(path, {"output": Path("b"), "seed": 7, "rows": None})
    assert (config.output, config.seed, config.rows, config.learning_rate) == (Path("b"), 7, None, 1e-5)
    assert config.curriculum == (0.5,)
    assert (config.lora.rank, config.lora.targets) == (4, ("fc1",))
    assert config.objective == {"uni_modal": 2.0}
    assert config.epochs == METHODS["safer_clip"].epochs


def test_settings_alone_will_do():
    assert load_config(None, BASIC).batch_size == METHODS["safer_clip"].batch_size


def test_lists_of_weights_can_be_set(tmp_path):
    path = write(tmp_path, "method: safe_clip\nobjective: {weights: [1, 1, 1, 1, 0, 0, 0, 0]}\n")
    assert load_config(path, BASIC).objective == {"weights": (1, 1, 1, 1, 0, 0, 0, 0)}


def test_everything_wrong_is_told_at_once(tmp_path):
    path = write(tmp_path, "learning_rat: 1\nbatch_size: 1\nprecision: fp8\nlora: {rank: many}\ncurriculum: [2]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {"model": "m", "data": "d", "seed": -1})
    told = str(caught.value)
    assert told.startswith("7 setting(s) in ")
    assert str(path) in told
    for name in ("learning_rat", "batch_size", "precision", "lora.rank", "curriculum.0", "output", "seed"):
        assert f"  {name}: " in told


def test_misspelt_adapter_settings_are_refused():
    with pytest.raises(ConfigError, match=r"lora\.rnak"):
        load_config(None, BASIC | {"lora": {"rnak": 4}})


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "!!python/object:os.system {}"])
def test_what_is_not_yaml_is_refused(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=r"train\.yaml is not YAML"):
        load_config(path, BASIC)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_what_holds_no_settings_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="should hold settings"):
        load_config(write(tmp_path, text), BASIC)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config(path, BASIC)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "bad.yaml", BASIC)


def test_the_order_of_a_curriculum_needs_one():
    assert TrainConfig(**BASIC).resolve().curriculum_order == "easy"
    assert load_config(None, BASIC | parse_settings(["curriculum_order=hard"])).curriculum_order == "hard"
    assert TrainConfig(**BASIC, method="safe_clip", curriculum=(0.5,), curriculum_order="hard").resolve().curriculum == (
        0.5,
    )
    for settings in ({"method": "safe_clip"}, {"curriculum": ()}):
        with pytest.raises(ConfigError, match="has no curriculum whose order could be turned round"):
            TrainConfig(**BASIC, curriculum_order="hard", **settings).resolve()
    with pytest.raises(ConfigError, match=r"curriculum_order: .*'easy' or 'hard'"):
        load_config(None, BASIC | {"curriculum_order": "random"})


def test_an_unknown_pairing_is_refused_with_the_list():
    with pytest.raises(ConfigError, match=r"pairing: .*'nearest', 'own', 'nearest_image', 'nearest_both' or 'mixture'"):
        load_config(None, BASIC | {"pairing": "closest"})


def test_a_description_holds_what_matters_and_no_path():
    here = TrainConfig(**BASIC, image_root="/pictures", workers=3).resolve()
    there = TrainConfig(model="/m", data="/d", output="elsewhere", save_every=5).resolve()
    assert here.describe() == there.describe()
    assert {"seed", "method", "learning_rate", "lora", "objective", "rows"} <= here.describe().keys()
    assert here.describe() != TrainConfig(**BASIC, seed=1).resolve().describe()


def test_a_few_adapter_settings_keep_the_method_s_others():
    chosen = load_config(None, BASIC | {"method": "safe_clip", "lora": {"rank": 8}})
    assert chosen.lora == replace(METHODS["safe_clip"].lora, rank=8)
    with pytest.raises(ConfigError, match="no method"):
        load_config(None, BASIC | {"method": "unknown", "lora": {"rank": 8}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2.5E3", -2500.0),
        ("true", True),
        ("[k_proj, patch_embedding]", ["k_proj", "patch_embedding"]),
        ("nearest", "nearest"),
        ("fe1", "fe1"),
        ("a: [", "a: ["),
    ],
)
def test_values_are_read_as_in_yaml_and_numbers_with_exponents_too(text, value):
    assert parse_settings([f"name={text}"]) == {"name": value}


def test_a_switch_of_an_objective_can_be_set():
    settings = parse_settings(["objective.live_reference=true", "method=safe_clip"])
    assert load_config(None, BASIC | settings).objective == {"live_reference": True}
    with pytest.raises(ConfigError, match="live_reference"):
        load_config(None, BASIC | {"method": "safe_clip", "objective": {"live_reference": (1.0, 2.0)}})


def test_a_word_of_an_objective_can_be_set():
    assert load_config(None, BASIC | parse_settings(["objective.negatives=batch"])).objective == {"negatives": "batch"}
    for wrong in ("all", "Batch", "1", "true"):
        with pytest.raises(ConfigError, match="negatives is one of own, none, batch, not"):
            load_config(None, BASIC | parse_settings([f"objective.negatives={wrong}"]))


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("'0.5'", 0.5), ("'-2'", -2.0), ("2", 2.0)])
def test_a_number_of_an_objective_is_no_word_however_yaml_reads_it(tmp_path, text, value):
    assert load_config(write(tmp_path, f"objective: {{uni_modal: {text}}}\n"), BASIC).objective == {"uni_modal": value}


@pytest.mark.parametrize("name", sorted(EDITS))
def test_an_edit_has_no_settings_of_training(name):
    config = TrainConfig(**BASIC, method=name).resolve()
    assert config.pairing == EDITS[name].pairing
    assert config.epochs is config.lora is config.learning_rate is None
    assert config.resolve() == config
    assert {"epochs", "warmup", "towers", "lora", "curriculum_order"}.isdisjoint(config.describe())
    with pytest.raises(ConfigError, match="trains nothing, so it takes no epochs, lora"):
        TrainConfig(**BASIC, method=name, epochs=3, lora={"rank": 4}).resolve()
    for setting in ({"towers": ["text"]}, {"curriculum_order": "hard"}):
        with pytest.raises(ConfigError, match=f"trains nothing, so it takes no {next(iter(setting))}"):
            TrainConfig(**BASIC, method=name, **setting).resolve()
    with pytest.raises(ConfigError, match="one safe item, so it takes no mixture"):
        TrainConfig(**BASIC, method=name, pairing="mixture").resolve()
    with pytest.raises(ConfigError, match="has no setting preservation"):
        TrainConfig(**BASIC, method=name, objective={"preservation": 3.0}).resolve()
