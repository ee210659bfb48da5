import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from safer_clip.objectives import Reference, SaferClipObjective, Sides
from safer_clip.objectives.terms import LOGIT_SCALE

NAMES = [
    f"{verb}_{what}" for verb in ("redirect", "preserve") for what in ("image_to_text", "text_to_image", "image", "text")
]
REDIRECTION = [name for name in NAMES if name.startswith("redirect")]
PLAIN = SaferClipObjective(cross_preservation=1.0)

# one pair in the plane: the trained sides, then the frozen ones
CASE = {
    "safe_text": (1.0, 0.0),
    "unsafe_text": (0.0, 1.0),
    "safe_image": (0.6, 0.8),
    "unsafe_image": (0.8, 0.6),
}
OWN = {
    "safe_text": (0.8, 0.6),
    "unsafe_text": (0.0, -1.0),
    "safe_image": (1.0, 0.0),
    "unsafe_image": (-0.6, 0.8),
}
TARGET_TEXT, TARGET_IMAGE = (0.6, -0.8), (-1.0, 0.0)


def batch(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def tiny_case():
    trained = Sides(**{name: batch(row) for name, row in CASE.items()})
    own = Sides(**{name: batch(row) for name, row in OWN.items()})
    return trained, Reference(own, batch(TARGET_TEXT), batch(TARGET_IMAGE))


def draw_case(seed, count=3, d=3):
    generator = torch.Generator().manual_seed(seed)
    sides = F.normalize(torch.randn(10, count, d, generator=generator, dtype=torch.float64), dim=-1).unbind(0)
    return Sides(*sides[:4]), Reference(Sides(*sides[4:8]), sides[8], sides[9])


def values(objective, trained, reference):
    return {name: term.item() for name, term in objective(trained, reference).items()}


def softplus(x):
    return math.log(1 + math.exp(x))


def test_every_term_by_hand():
    expected = {
        # V(v*) = (.8, .6): cosine -.6 with T0(t*) = (0, -1), .48 - .48 = 0 with T0(t^) = (.6, -.8)
        "redirect_image_to_text": softplus(-0.6 - 0.0),
        # T(t*) = (0, 1): cosine .8 with V0(v*) = (-.6, .8), 0 with V0(v^) = (-1, 0)
        "redirect_text_to_image": softplus(0.8 - 0.0),
        "redirect_image": 1 + 0.8,  # (.8, .6) to (-1, 0)
        "redirect_text": 1 + 0.8,  # (0, 1) to (.6, -.8)
        "preserve_image": 1 - 0.6,  # (.6, .8) to (1, 0)
        "preserve_text": 1 - 0.8,  # (1, 0) to (.8, .6)
        "preserve_image_to_text": 0.0,  # one row has no negative
        "preserve_text_to_image": 0.0,
    }
    assert values(PLAIN, *tiny_case()) == pytest.approx(expected, abs=1e-12)


def test_preservation_across_modalities_by_hand():
    trained, reference = draw_case(0, count=2, d=2)
    trained = replace(trained, safe_image=batch((1, 0), (0, 1)), safe_text=batch((1, 0), (0, 1)))
    own = replace(reference.own, safe_text=batch((0.6, 0.8), (0.8, 0.6)), safe_image=batch((1, 0), (0, 1)))
    terms = values(PLAIN, trained, replace(reference, own=own))
    # V(v) with T0(t): each row is .2 nearer to the other's; T(t) with V0(v): each is 1 nearer to its own
    assert terms["preserve_image_to_text"] == pytest.approx(softplus(0.2 * LOGIT_SCALE))
    assert terms["preserve_text_to_image"] == pytest.approx(softplus(-LOGIT_SCALE), abs=1e-12)


def test_preservation_across_modalities_of_near_neighbours_by_hand():
    # (20, 21) / 29 and (21, 20) / 29 are 1 / 29 apart along either axis, so that neither case rounds to 0
    axes, near = batch((1, 0), (0, 1)), batch((20, 21), (21, 20)) / 29
    trained, reference = draw_case(0, count=2, d=2)
    own = replace(reference.own, safe_text=near, safe_image=near.flip(0))
    terms = values(PLAIN, replace(trained, safe_image=axes, safe_text=axes), replace(reference, own=own))
    assert terms["preserve_image_to_text"] == pytest.approx(softplus(LOGIT_SCALE / 29))  # the other's is nearer
    assert terms["preserve_text_to_image"] == pytest.approx(softplus(-LOGIT_SCALE / 29))  # its own is nearer


def test_default_weights():
    trained, reference = draw_case(1)
    full, default = values(PLAIN, trained, reference), values(SaferClipObjective(), trained, reference)
    assert list(default) == list(full)
    assert set(default) == set(NAMES)
    for name in NAMES:
        weight = 0.05 if name.startswith("preserve") and "_to_" in name else 1.0
        assert default[name] == pytest.approx(weight * full[name])


@pytest.mark.parametrize(
    ("weight", "scaled"),
    [
        ("cross_modal", {"redirect_image_to_text", "redirect_text_to_image"}),
        ("uni_modal", {"redirect_image", "redirect_text"}),
        ("preservation", {"preserve_image", "preserve_text"}),
        ("cross_preservation", {"preserve_image_to_text", "preserve_text_to_image"}),
    ],
)
def test_each_weight_scales_its_terms_alone(weight, scaled):
    case = draw_case(2)
    before, after = values(PLAIN, *case), values(replace(PLAIN, **{weight: 3.0}), *case)
    assert after == pytest.approx({name: before[name] * (3.0 if name in scaled else 1.0) for name in NAMES})


@pytest.mark.parametrize(
    ("side", "lowered"),
    [
        ("unsafe_image", {"redirect_image_to_text": "target_text", "redirect_image": "target_image"}),
        ("unsafe_text", {"redirect_text_to_image": "target_image", "redirect_text": "target_text"}),
    ],
)
def test_unsafe_items_are_drawn_to_their_targets(side, lowered):
    trained, reference = draw_case(3)
    before = values(PLAIN, trained, reference)
    for name, target in lowered.items():
        moved = F.normalize(getattr(trained, side) + 0.1 * getattr(reference, target), dim=-1)
        assert values(PLAIN, replace(trained, **{side: moved}), reference)[name] < before[name]


@pytest.mark.parametrize(
    ("side", "counterpart", "name"),
    [("unsafe_image", "unsafe_text", "redirect_image_to_text"), ("unsafe_text", "unsafe_image", "redirect_text_to_image")],
)
def test_unsafe_items_pay_for_nearness_to_their_unsafe_counterparts(side, counterpart, name):
    trained, reference = draw_case(4)
    nearer = F.normalize(getattr(reference.own, counterpart) + 0.1 * getattr(trained, side), dim=-1)
    before = values(PLAIN, trained, reference)
    after = values(PLAIN, trained, replace(reference, own=replace(reference.own, **{counterpart: nearer})))
    assert after[name] > before[name]
    assert {key for key in NAMES if after[key] != before[key]} == {name}


@pytest.mark.parametrize("side", ["image", "text"])
def test_safe_items_are_held_in_place(side):
    trained, reference = draw_case(5)
    there = replace(trained, **{f"safe_{side}": getattr(reference.own, f"safe_{side}")})
    assert values(PLAIN, there, reference)[f"preserve_{side}"] == pytest.approx(0, abs=1e-12)
    assert values(PLAIN, trained, reference)[f"preserve_{side}"] > 0.1


def test_a_model_equal_to_the_reference_keeps_all_safe_items_in_place():
    _, reference = draw_case(5)
    terms = values(PLAIN, reference.own, reference)
    assert terms["preserve_image"] == pytest.approx(0, abs=1e-12)
    assert terms["preserve_text"] == pytest.approx(0, abs=1e-12)
    assert min(terms[name] for name in REDIRECTION) > 0.1  # which is not yet where it should be


@pytest.mark.parametrize("name", NAMES)
def test_another_row_moves_a_rows_gradient_only_in_preservation_across_modalities(name):
    case, other = draw_case(6), draw_case(9)

    def mix(ours, theirs):
        return torch.cat([ours[:2], theirs[2:]])  # the last row of three is another

    def mix_sides(ours, theirs):
        return Sides(*(mix(getattr(ours, side), getattr(theirs, side)) for side in CASE))

    targets = (mix(getattr(case[1], part), getattr(other[1], part)) for part in ("target_text", "target_image"))
    changed = mix_sides(case[0], other[0]), Reference(mix_sides(case[1].own, other[1].own), *targets)

    def gradient(trained, reference):
        side = f"{'unsafe' if name in REDIRECTION else 'safe'}_{name.split('_')[1]}"
        leaf = getattr(trained, side).clone().requires_grad_()
        PLAIN(replace(trained, **{side: leaf}), reference)[name].backward()
        return leaf.grad

    before, after = gradient(*case), gradient(*changed)
    assert before[:2].abs().max() > 0
    assert not torch.allclose(before[2], after[2])
    assert torch.equal(before[:2], after[:2]) == ("preserve" not in name or "_to_" not in name)


def test_another_row_is_no_negative_in_redirection():
    trained, reference = draw_case(6, count=4)
    single = []
    for row in range(4):
        one = slice(row, row + 1)
        own = Sides(*(getattr(reference.own, name)[one] for name in CASE))
        alone = Sides(*(getattr(trained, name)[one] for name in CASE))
        single.append(values(PLAIN, alone, Reference(own, reference.target_text[one], reference.target_image[one])))
    together = values(PLAIN, trained, reference)
    for name in REDIRECTION:
        assert together[name] == pytest.approx(sum(row[name] for row in single) / 4)
    # in-batch negatives do count where safe items are preserved across modalities
    assert together["preserve_image_to_text"] > 0.1


def test_redirection_moves_the_unsafe_sides_and_preservation_the_safe_ones():
    trained, reference = draw_case(7)
    leaves = {name: getattr(trained, name).clone().requires_grad_() for name in CASE}
    for term_name, term in PLAIN(Sides(**leaves), reference).items():
        gradients = torch.autograd.grad(term, list(leaves.values()), allow_unused=True)
        verb, side = term_name.split("_")[:2]
        expected = f"{'unsafe' if verb == 'redirect' else 'safe'}_{side}"
        assert [name for name, g in zip(leaves, gradients, strict=True) if g is not None] == [expected]


def test_gradients():
    trained, reference = draw_case(8)
    leaves = [getattr(trained, name).clone().requires_grad_() for name in CASE]
    assert torch.autograd.gradcheck(lambda *moved: sum(SaferClipObjective()(Sides(*moved), reference).values()), leaves)


ACROSS = ("redirect_image_to_text", "redirect_text_to_image")


def test_redirection_without_negatives_by_hand():
    terms = values(SaferClipObjective(cross_modal=2.0, negatives="none"), *tiny_case())
    assert terms["redirect_image_to_text"] == pytest.approx(2 * (1 - 0.0))  # (.8, .6) to (.6, -.8)
    assert terms["redirect_text_to_image"] == pytest.approx(2 * (1 - 0.0))  # (0, 1) to (-1, 0)


def test_redirection_away_from_the_whole_batch_by_hand():
    trained, reference = draw_case(0, count=2, d=2)
    trained = replace(trained, unsafe_image=batch((1, 0), (0, 1)), unsafe_text=batch((0, 1), (1, 0)))
    own = replace(reference.own, unsafe_text=batch((1, 0), (0.6, 0.8)), unsafe_image=batch((0, 1), (-1, 0)))
    reference = Reference(own, batch((0, 1), (0, 1)), batch((0.8, 0.6), (-0.6, 0.8)))
    terms = values(SaferClipObjective(cross_modal=2.0, negatives="batch"), trained, reference)
    # V(v*): cosines 0 and 1 with the targets, 1, .6 and 0, .8 with the unsafe captions
    by_hand = [softplus(1 - 0), softplus(0.6 - 0), softplus(0 - 1), softplus(0.8 - 1)]
    assert terms["redirect_image_to_text"] == pytest.approx(2 * sum(by_hand) / 4)
    # T(t*): .6 and -.6 with the targets, 1, 0 and 0, -1 with the unsafe images
    by_hand = [softplus(1 - 0.6), softplus(0 - 0.6), softplus(0 + 0.6), softplus(-1 + 0.6)]
    assert terms["redirect_text_to_image"] == pytest.approx(2 * sum(by_hand) / 4)


@pytest.mark.parametrize("negatives", ["none", "batch"])
def test_negatives_change_the_redirection_across_modalities_alone(negatives):
    case = draw_case(10)
    before, after = values(PLAIN, *case), values(replace(PLAIN, negatives=negatives), *case)
    assert list(after) == list(before)
    assert {name for name in NAMES if after[name] != before[name]} == set(ACROSS)
    assert replace(PLAIN, negatives="own") == PLAIN


@pytest.mark.parametrize(("negatives", "moved"), [("own", {1}), ("none", set()), ("batch", {0, 1, 2})])
def test_which_rows_an_unsafe_counterpart_pushes(negatives, moved):
    trained, reference = draw_case(11)
    other = reference.own.unsafe_text.clone()
    other[1] = -other[1]
    changed = replace(reference, own=replace(reference.own, unsafe_text=other))
    objective, gradients = replace(PLAIN, negatives=negatives), []
    for known in (reference, changed):
        leaf = trained.unsafe_image.clone().requires_grad_()
        objective(replace(trained, unsafe_image=leaf), known)["redirect_image_to_text"].backward()
        gradients.append(leaf.grad)
    assert {row for row in range(3) if not torch.equal(gradients[0][row], gradients[1][row])} == moved


def test_a_plain_pull_does_not_need_the_unsafe_counterpart():
    trained, reference = draw_case(12)
    alone = replace(reference, own=replace(reference.own, unsafe_text=None, unsafe_image=None))
    assert set(ACROSS) <= set(values(replace(PLAIN, negatives="none"), trained, alone))
    assert set(ACROSS).isdisjoint(values(PLAIN, trained, alone))


@pytest.mark.parametrize("negatives", ["none", "batch"])
def test_gradients_with_other_negatives(negatives):
    trained, reference = draw_case(13)
    objective = SaferClipObjective(negatives=negatives)
    leaves = [getattr(trained, name).clone().requires_grad_() for name in CASE]
    assert torch.autograd.gradcheck(lambda *moved: sum(objective(Sides(*moved), reference).values()), leaves)
