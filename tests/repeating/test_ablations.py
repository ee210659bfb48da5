from pathlib import Path

import pytest

from safer_clip.config import CompareConfig
from safer_clip.errors import ConfigError
from safer_clip.repeating.ablations import CHANGES, list_ablations
from safer_clip.repeating.plans import Run, plan_training

CONFIG = CompareConfig(output=Path("out"))


def plan(variant, config=CONFIG):
    return plan_training(config, Run(variant, 1), Path("model"))


def test_each_change_is_one_change():
    _, whole, *changed = list_ablations()
    base = plan(whole).model_dump()
    assert [variant.key for variant in changed] == list(CHANGES)
    for variant in changed:
        found = plan(variant).model_dump()
        different = {name for name in base if base[name] != found[name]}
        assert different == set(variant.changes) | ({"epochs"} if variant.key == "curriculum_off" else set()), variant.key


def test_a_changed_term_leaves_the_tuned_ones():
    variants = {variant.key: variant for variant in list_ablations(["no_cross_modal"])}
    assert plan(variants["no_cross_modal"]).objective == {"preservation": 4.0, "cross_preservation": 0.2, "cross_modal": 0.0}


def test_every_change_sees_as_many_rows():
    """Without its curriculum, which leaves rows out at first, the method takes an epoch less."""
    variants = {variant.key: variant for variant in list_ablations()}
    assert plan(variants["safer_clip"]).epochs == 4
    assert plan(variants["curriculum_off"]).epochs == 3


def test_other_models_have_the_methods_own_settings(tmp_path):
    config = CompareConfig(output=tmp_path, model="openai/clip", data="visu", settings={"safer_clip": {"batch_size": 8}})
    found = plan(list_ablations(["rank_4"])[-1], config)
    assert (found.learning_rate, found.batch_size, found.lora.rank, found.epochs) == (1e-4, 8, 4, 9)


def test_unknown_changes_are_named():
    with pytest.raises(ConfigError, match="there is no change nonsense; there are pairing_own"):
        list_ablations(["nonsense"])
