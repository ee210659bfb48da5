from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from safer_clip.editing import ProjectionEdit, UwmEdit
from safer_clip.errors import ConfigError
from safer_clip.methods import EDITS, METHODS, build_edit, build_objective, find_method, find_trained
from safer_clip.objectives import Reference, SafeClipObjective, SaferClipObjective, Sides


def draw_sides(seed: int) -> Sides:
    generator = torch.Generator().manual_seed(seed)
    return Sides(*(F.normalize(torch.randn(4, 8, generator=generator), dim=-1) for _ in range(4)))


@pytest.mark.parametrize("name", [*METHODS])
def test_methods_are_found_by_name_and_build_their_objective(name):
    method = find_trained(name)
    assert find_method(name) == method
    assert method.name == name
    own = draw_sides(1)
    terms = build_objective(method, {})(draw_sides(0), Reference(own, own.safe_text, own.safe_image))
    assert all(torch.isfinite(term) and term.ndim == 0 for term in terms.values())


def test_the_settings_of_the_papers():
    safer, safe = METHODS["safer_clip"], METHODS["safe_clip"]
    assert (safer.pairing, safer.lora.rank, len(safer.curriculum)) == ("nearest", 16, 2)
    assert (safe.pairing, safe.batch_size, safe.lora.alpha, safe.lora.dropout) == ("own", 128, 1, 0.1)
    assert "patch_embedding" in safe.lora.targets


def test_an_unknown_method_is_refused_with_a_guess():
    with pytest.raises(ConfigError, match=r"no method 'saferclip'; did you mean 'safer_clip'\?"):
        find_method("saferclip")


def test_an_unknown_method_is_refused_with_the_list():
    with pytest.raises(ConfigError, match=r"no method 'xyz'; there are clip_plus, safe_clip, .*, projection$"):
        find_method("xyz")


def test_settings_reach_the_objective():
    objective = build_objective(find_trained("safer_clip"), {"uni_modal": 2.5})
    assert objective == SaferClipObjective(uni_modal=2.5)


def test_unknown_settings_are_refused_together():
    with pytest.raises(ConfigError, match=r"SafeR-CLIP has no setting unimodal, x; it has cross_modal, uni_modal"):
        build_objective(find_trained("safer_clip"), {"unimodal": 1.0, "preservation": 1.0, "x": 2.0})


def test_safe_clips_weights_can_be_set():
    objective = build_objective(find_trained("safe_clip"), {"weights": [1, 0, 0, 0, 0, 0, 0, 0]})
    own = draw_sides(1)
    terms = objective(draw_sides(0), Reference(own, own.safe_text, own.safe_image))
    assert [name for name, term in terms.items() if term] == ["preserve_text"]


@pytest.mark.parametrize(
    ("method", "settings"),
    [("safe_clip", {"weights": 0.5}), ("safe_clip", {"weights": [1.0, 2.0]}), ("safer_clip", {"uni_modal": [1.0, 2.0]})],
)
def test_settings_of_the_wrong_shape_are_refused(method, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        build_objective(find_trained(method), settings)


@pytest.mark.parametrize("word", ["own", "none", "batch"])
def test_words_reach_the_objective(word):
    assert build_objective(find_trained("safer_clip"), {"negatives": word}) == SaferClipObjective(negatives=word)


@pytest.mark.parametrize("value", ["Batch", "", 1.0, True, (1.0, 2.0)])
def test_a_wrong_word_is_refused_with_the_list(value):
    with pytest.raises(ConfigError, match=r"^SafeR-CLIP's setting negatives is one of own, none, batch, not ") as caught:
        build_objective(find_trained("safer_clip"), {"negatives": value})
    assert str(caught.value).endswith(str(value))


@pytest.mark.parametrize(("build", "method"), [(build_objective, METHODS["safer_clip"]), (build_edit, EDITS["uwm"])])
def test_a_word_is_no_number(build, method):
    name = "uni_modal" if method.name == "safer_clip" else "text_mass"
    with pytest.raises(ConfigError, match=f"{method.title}'s setting {name} takes 1 number.s., got much"):
        build(method, {name: "much"})


def test_the_codes_reading_of_safe_clip_differs_in_its_reference_alone():
    paper, code = METHODS["safe_clip"], METHODS["safe_clip_code"]
    assert replace(code, name=paper.name, title=paper.title, preset={}) == paper
    assert build_objective(paper, {}) == SafeClipObjective(live_reference=False)
    assert build_objective(code, {}) == SafeClipObjective(live_reference=True)
    assert build_objective(code, {"weights": (1.0,) * 8}) == SafeClipObjective((1.0,) * 8, live_reference=True)


def test_edits_are_found_by_name_and_take_settings():
    assert build_edit(EDITS["uwm"], {"text_mass": 0.9}) == UwmEdit(text_mass=0.9)
    assert build_edit(EDITS["projection"], {"rank": 3}) == ProjectionEdit(rank=3)
    assert find_method("uwm") == EDITS["uwm"]
    with pytest.raises(ConfigError, match="UWM has no setting mass; it has text_mass, vision_mass, factor, rows"):
        build_edit(EDITS["uwm"], {"mass": 0.9})


def test_an_edit_is_nothing_to_train():
    with pytest.raises(ConfigError, match="UWM trains nothing; methods that do are clip_plus"):
        find_trained("uwm")
