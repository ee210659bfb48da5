import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from safer_clip.objectives import Reference, SafeClipObjective, Sides

FIXTURE = json.loads((Path(__file__).parent / "safe_clip_losses.json").read_text(encoding="utf-8"))
CASES = FIXTURE["cases"]
REFERENCE_NAMES = {
    "preserve_text": "text_safe",
    "redirect_text": "text_unsafe",
    "preserve_image": "image_safe",
    "redirect_image": "image_unsafe",
    "preserve_text_to_image": "text_safe_vs_ref_image",
    "redirect_text_to_image": "text_unsafe_vs_ref_image",
    "preserve_image_to_text": "image_safe_vs_ref_text",
    "redirect_image_to_text": "image_unsafe_vs_ref_text",
}


def read_inputs(case):
    sides = {name: F.normalize(torch.tensor(rows, dtype=torch.float64), dim=-1) for name, rows in case["inputs"].items()}
    trained = Sides(sides["text_safe"], sides["text_unsafe"], sides["image_safe"], sides["image_unsafe"])
    # Safe-CLIP never looks at the frozen unsafe sides nor at targets
    unseen = torch.full_like(sides["ref_text_safe"], torch.nan)
    return trained, Reference(Sides(sides["ref_text_safe"], unseen, sides["ref_image_safe"], unseen), unseen, unseen)


@pytest.mark.parametrize("case", CASES)
def test_reproduces_each_term_of_the_reference_implementation(case):
    terms = SafeClipObjective()(*read_inputs(case))
    weights = case["weights_before_normalisation"]
    assert set(case["terms"]) == set(REFERENCE_NAMES.values())
    raw = {
        REFERENCE_NAMES[name]: term.item() * len(terms) * sum(weights) / weight
        for (name, term), weight in zip(terms.items(), weights, strict=True)
    }
    assert raw == pytest.approx(case["terms"], abs=1e-6, rel=0)


@pytest.mark.parametrize("case", CASES)
def test_reproduces_the_total_of_the_reference_implementation(case):
    total = sum(SafeClipObjective()(*read_inputs(case)).values())
    assert total.item() == pytest.approx(case["total"], abs=1e-6, rel=0)


@pytest.mark.parametrize("case", CASES)
def test_default_weights_are_the_references(case):
    assert list(SafeClipObjective().weights) == case["weights_before_normalisation"]


def test_only_the_proportions_of_weights_matter():
    inputs = read_inputs(CASES[0])
    once = SafeClipObjective((1, 2, 3, 4, 5, 6, 7, 8))(*inputs)
    tenfold = SafeClipObjective((10, 20, 30, 40, 50, 60, 70, 80))(*inputs)
    assert {name: term.item() for name, term in once.items()} == pytest.approx({n: t.item() for n, t in tenfold.items()})


@pytest.mark.parametrize("place", range(8))
def test_each_weight_is_of_its_term(place):
    weights = tuple(float(at == place) for at in range(8))
    terms = SafeClipObjective(weights)(*read_inputs(CASES[0]))
    name = list(REFERENCE_NAMES)[place]
    assert [key for key, term in terms.items() if term.item() != 0] == [name]
    assert terms[name].item() == pytest.approx(CASES[0]["terms"][REFERENCE_NAMES[name]] / 8, rel=1e-3)


@pytest.mark.parametrize("count", [7, 9])
def test_there_is_one_weight_a_term(count):
    with pytest.raises(ValueError, match=r"shorter|longer"):
        SafeClipObjective((1.0,) * count)(*read_inputs(CASES[0]))


def test_unsafe_sides_at_their_own_safe_items_cost_no_distance():
    trained, reference = read_inputs(CASES[0])
    redirected = replace(trained, unsafe_text=reference.own.safe_text, unsafe_image=reference.own.safe_image)
    terms = SafeClipObjective()(redirected, reference)
    assert terms["redirect_text"].item() == pytest.approx(0, abs=1e-12)
    assert terms["redirect_image"].item() == pytest.approx(0, abs=1e-12)


def test_gradients():
    trained, reference = read_inputs(CASES[0])
    sides = [trained.safe_text, trained.unsafe_text, trained.safe_image, trained.unsafe_image]
    leaves = [side.clone().requires_grad_() for side in sides]
    objective = SafeClipObjective()
    assert torch.autograd.gradcheck(lambda *moved: sum(objective(Sides(*moved), reference).values()), leaves)


def test_a_live_reference_is_the_model_in_training_without_gradients():
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.nn.functional.normalize(torch.randn(3, 4, generator=generator), dim=-1) for _ in range(4)]
    trained = Sides(*(leaf.requires_grad_() for leaf in leaves))
    frozen = Reference(Sides(leaves[0].detach(), None, leaves[2].detach(), None), None, None)
    elsewhere = Reference(Sides(-leaves[0].detach(), None, -leaves[2].detach(), None), None, None)
    live = SafeClipObjective(live_reference=True)(trained, elsewhere)
    assert {name: term.item() for name, term in live.items()} == pytest.approx(
        {name: term.item() for name, term in SafeClipObjective()(trained, frozen).items()}
    )
    assert live["preserve_text"].item() == pytest.approx(0, abs=1e-7)
    (gradient,) = torch.autograd.grad(live["redirect_text"], leaves[0], allow_unused=True)
    assert gradient is None
