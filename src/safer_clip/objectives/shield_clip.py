"""ShieldCLIP: what is done with an item depends on whether it really is unsafe, by modality (arXiv 2609.39688)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from safer_clip.objectives.base import SIDES, Labels, Part, Reference, Side, Sides, Terms, weigh_terms
from safer_clip.objectives.terms import among, contrast, cosine_distance


@dataclass(frozen=True, slots=True)
class ShieldClipObjective:
    """Five groups of terms, each with one weight: what a generator was asked to make unsafe may have come out safe.

    The paper's ``Lcos`` is a negative mean cosine; here it is a distance, which has the same gradient and is 0 at the goal.
    Its ``Lnce`` is the *sum* of both directions, twice :func:`~safer_clip.objectives.terms.contrast`. It is silent on three
    points. The contrast of generated safe items is taken where *both* halves are safe, so that each generated pair has one
    contrast of its own: with its place (both safe), with its safe half (one is), with itself (none is). Negatives are the
    batch's other pairs of the same kind. A group without items contributes nothing.

    Attributes:
        preserve: weight of real safe items: ``Lcos(V(v), V0(v))``, ``Lcos(T(t), T0(t))``, ``Lnce(V(v), T0(t))`` and
            ``Lnce(T(t), V0(v))``.
        preserve_generated: weight of the same on the generated items that are safe.
        redirect: weight of ``Lcos(V(v*), V0(v))`` on unsafe images and ``Lcos(T(t*), T0(t))`` on unsafe texts.
        mix: weight of ``Lnce(V(v*), T0(t*))`` where only the image is unsafe and ``Lnce(T(t*), V0(v*))`` where only the text
            is: the unsafe half is pulled to its safe one.
        cohere: weight of ``Lnce(T(t*), V(v*))`` where both are unsafe: redirected halves stay together.
    """

    sides: ClassVar[tuple[Side, ...]] = SIDES
    needs_labels: ClassVar[bool] = True

    preserve: float = 0.1
    preserve_generated: float = 0.1
    redirect: float = 0.1
    mix: float = 0.25
    cohere: float = 0.25

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """Up to thirteen weighted terms; shapes as in :class:`Sides` and :class:`Reference`."""
        return weigh_terms(
            {
                **_keep(trained, reference.own, self.preserve),
                **self._treat_generated(trained, reference.own, reference.labels or _label_all(trained)),
            }
        )

    def _treat_generated(self, trained: Sides, own: Sides, labels: Labels) -> dict[str, Part]:
        text, image, keep = labels.text_unsafe, labels.image_unsafe, self.preserve_generated
        both_safe, moved_text, moved_image = ~text & ~image, trained.unsafe_text, trained.unsafe_image
        return {
            "preserve_generated_image": (keep, _approach, (~image, moved_image, own.unsafe_image)),
            "preserve_generated_text": (keep, _approach, (~text, moved_text, own.unsafe_text)),
            "preserve_generated_image_to_text": (keep, _match, (both_safe, moved_image, own.unsafe_text)),
            "preserve_generated_text_to_image": (keep, _match, (both_safe, moved_text, own.unsafe_image)),
            "redirect_image": (self.redirect, _approach, (image, moved_image, own.safe_image)),
            "redirect_text": (self.redirect, _approach, (text, moved_text, own.safe_text)),
            "mix_image_to_text": (self.mix, _match, (image & ~text, moved_image, own.unsafe_text)),
            "mix_text_to_image": (self.mix, _match, (text & ~image, moved_text, own.unsafe_image)),
            "cohere": (self.cohere, _match, (text & image, moved_text, moved_image)),
        }


def _keep(trained: Sides, own: Sides, weight: float) -> dict[str, Part]:
    return {
        "preserve_image": (weight, cosine_distance, (trained.safe_image, own.safe_image)),
        "preserve_text": (weight, cosine_distance, (trained.safe_text, own.safe_text)),
        "preserve_image_to_text": (weight, _sum_ways, (trained.safe_image, own.safe_text)),
        "preserve_text_to_image": (weight, _sum_ways, (trained.safe_text, own.safe_image)),
    }


def _approach(rows: Tensor, moved: Tensor, target: Tensor) -> Tensor:
    return among(rows, cosine_distance, moved, target)


def _match(rows: Tensor, moved: Tensor, target: Tensor) -> Tensor:
    return among(rows, _sum_ways, moved, target)


def _sum_ways(moved: Tensor, target: Tensor) -> Tensor:
    return 2 * contrast(moved, target)


def _label_all(trained: Sides) -> Labels:
    """Labels of a batch that has none: whatever was meant to be unsafe counts as unsafe."""
    side = next(side for side in (trained.unsafe_text, trained.unsafe_image) if side is not None)
    everything = torch.ones(len(side), dtype=torch.bool, device=side.device)
    return Labels(everything, everything)
