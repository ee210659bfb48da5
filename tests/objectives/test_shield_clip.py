"""Values worked by hand: unit vectors in a plane, of which the cosines are known."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from safer_clip.objectives import Labels, Reference, ShieldClipObjective, Sides
from safer_clip.objectives.terms import LOGIT_SCALE

KINDS = {"both": (True, True), "text": (True, False), "image": (False, True), "neither": (False, False)}
EVERY_WEIGHT_ONE = ShieldClipObjective(1.0, 1.0, 1.0, 1.0, 1.0)


def label(*kinds):
    return Labels(*(torch.tensor([KINDS[kind][half] for kind in kinds]) for half in (0, 1)))


def turn(*degrees):
    """Unit vectors at these angles; their cosines are those of the differences."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def draw(seed, rows):
    generator = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(rows, 5, generator=generator, dtype=torch.float64), dim=1) for _ in range(4)]


def case(labels, rows):
    return Sides(*draw(0, rows)), Reference(Sides(*draw(1, rows)), None, None, labels)


def values(terms):
    return {name: term.item() for name, term in terms.items()}


def test_each_kind_of_item_is_treated_by_its_own_terms():
    # row:                 both        text        image       neither
    trained = Sides(
        safe_text=turn(0, 0, 0, 0),
        unsafe_text=turn(60, 90, 45, 30),
        safe_image=turn(0, 0, 0, 0),
        unsafe_image=turn(120, 180, 90, 60),
    )
    zero = turn(0, 0, 0, 0)
    found = values(EVERY_WEIGHT_ONE(trained, Reference(Sides(zero, zero, zero, zero), None, None, label(*KINDS))))
    assert found["preserve_text"] == found["preserve_image"] == 0
    # four rows that cannot be told apart: log 4 in each direction, and the sum of both
    assert found["preserve_text_to_image"] == pytest.approx(2 * math.log(4))
    assert found["preserve_image_to_text"] == pytest.approx(2 * math.log(4))
    # generated texts that are safe are those of "image" and "neither", images those of "text" and "neither"
    assert found["preserve_generated_text"] == pytest.approx(1 - (math.cos(math.pi / 4) + math.cos(math.pi / 6)) / 2)
    assert found["preserve_generated_image"] == pytest.approx(1 - (-1 + 0.5) / 2)
    # unsafe texts are those of "both" and "text", images those of "both" and "image"
    assert found["redirect_text"] == pytest.approx(1 - (0.5 + 0) / 2)
    assert found["redirect_image"] == pytest.approx(1 - (-0.5 + 0) / 2)
    # one pair of a kind has no negative
    for name in ("mix_text_to_image", "mix_image_to_text", "cohere"):
        assert found[name] == pytest.approx(0)
    for way in ("image_to_text", "text_to_image"):
        assert found[f"preserve_generated_{way}"] == pytest.approx(0)


def test_contrasts_of_two_pairs_of_a_kind():
    # right pairs at 60 degrees, wrong ones at 0: all four cross-entropies are softplus(scale / 2)
    wrong = LOGIT_SCALE * (1 - 0.5)
    trained = Sides(turn(0, 60), turn(0, 60), turn(0, 60), turn(60, 0))
    swapped = turn(60, 0)
    reference = Reference(Sides(turn(0, 60), swapped, turn(0, 60), turn(0, 60)), None, None)

    def find(kind):
        return values(EVERY_WEIGHT_ONE(trained, replace(reference, labels=label(kind, kind))))

    assert find("both")["cohere"] == pytest.approx(2 * math.log1p(math.exp(wrong)))
    assert find("text")["mix_text_to_image"] == pytest.approx(2 * math.log1p(math.exp(-wrong)))
    assert find("image")["mix_image_to_text"] == pytest.approx(2 * math.log1p(math.exp(-wrong)), abs=1e-12)
    found = find("neither")
    assert found["preserve_generated_text_to_image"] == pytest.approx(2 * math.log1p(math.exp(-wrong)), abs=1e-12)
    assert found["preserve_generated_image_to_text"] == pytest.approx(2 * math.log1p(math.exp(-wrong)), abs=1e-12)
    assert found["cohere"] == found["mix_text_to_image"] == found["redirect_text"] == 0


@pytest.mark.parametrize(
    "kinds", [["both"] * 4, ["text"] * 4, ["image"] * 4, ["neither"] * 4, [*KINDS], ["both", "neither"] * 2]
)
def test_terms_without_items_are_zero_and_gradients_are_numbers(kinds):
    trained, reference = case(label(*kinds), 4)
    leaves = [
        side.requires_grad_() for side in (trained.safe_text, trained.unsafe_text, trained.safe_image, trained.unsafe_image)
    ]
    terms = ShieldClipObjective()(trained, reference)
    empty = {
        "cohere": "both" not in kinds,
        "mix_text_to_image": "text" not in kinds,
        "mix_image_to_text": "image" not in kinds,
        "preserve_generated_image_to_text": "neither" not in kinds,
        "preserve_generated_text": not {"image", "neither"} & {*kinds},
        "preserve_generated_image": not {"text", "neither"} & {*kinds},
        "redirect_text": not {"both", "text"} & {*kinds},
        "redirect_image": not {"both", "image"} & {*kinds},
    }
    for name, is_empty in empty.items():
        assert torch.isfinite(terms[name])
        assert terms[name].requires_grad
        if is_empty:
            assert terms[name].item() == 0
    gradients = torch.autograd.grad(sum(terms.values()), leaves)
    assert all(torch.isfinite(gradient).all() and gradient.any() for gradient in gradients)


def test_weights_are_the_papers_each_on_its_group():
    weights = {"preserve": 0.1, "preserve_generated": 0.1, "redirect": 0.1, "mix": 0.25, "cohere": 0.25}
    inputs = case(label(*KINDS, *KINDS), 8)
    plain, weighted = values(EVERY_WEIGHT_ONE(*inputs)), values(ShieldClipObjective()(*inputs))
    assert len(plain) == 13
    for name, value in plain.items():
        group = max((group for group in weights if name.startswith(group)), key=len)
        assert value != 0
        assert weighted[name] == pytest.approx(weights[group] * value)


def test_without_labels_everything_generated_counts_as_unsafe():
    trained, reference = case(None, 4)
    labelled = replace(reference, labels=label(*["both"] * 4))
    assert values(ShieldClipObjective()(trained, reference)) == values(ShieldClipObjective()(trained, labelled))


def test_captions_alone_can_be_trained_on():
    trained, reference = case(label(*KINDS), 4)
    texts = Sides(trained.safe_text, trained.unsafe_text)
    own = Sides(reference.own.safe_text, reference.own.unsafe_text)
    terms = ShieldClipObjective()(texts, replace(reference, own=own))
    assert set(terms) == {"preserve_text", "preserve_generated_text", "redirect_text"}


def test_gradients():
    trained, reference = case(label(*KINDS, *KINDS), 8)
    leaves = [
        side.requires_grad_() for side in (trained.safe_text, trained.unsafe_text, trained.safe_image, trained.unsafe_image)
    ]
    objective = ShieldClipObjective()
    assert torch.autograd.gradcheck(lambda *moved: sum(objective(Sides(*moved), reference).values()), leaves)
