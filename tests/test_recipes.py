from pathlib import Path

import pytest

from safer_clip.config import load_config
from safer_clip.tuning import plan_training

RECIPES = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_resolves_and_can_be_planned(recipe, tmp_path):
    """On local stand-ins for what nobody can ship: the model's weights and ViSU."""
    config = load_config(recipe, {"output": tmp_path / "out"})
    assert config.precision == "bf16"
    assert config.model.count("/") == 1
    stand_in = {"model": "miniature", "data": "miniature", "rows": 400, "output": tmp_path / "out"}
    plan = plan_training(load_config(recipe, stand_in))
    assert len(plan.table) == 400
    assert len(plan.rows_by_epoch) == config.epochs
    assert f"configs/{recipe.name}" in recipe.read_text()


def test_there_are_recipes():
    assert {"visu_vit_b_32", "visu_vit_l_14", "visu_siglip2_base"} <= {recipe.stem for recipe in RECIPES}
