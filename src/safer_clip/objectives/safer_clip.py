"""SafeR-CLIP: redirect each unsafe item to its nearest safe alternative, keep safe items in place (arXiv 2511.16743)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from safer_clip.objectives.base import SIDES, Part, Reference, Side, Sides, Terms, weigh_terms
from safer_clip.objectives.terms import contrast, cosine_distance, prefer, prefer_to_all

Negatives = Literal["own", "none", "batch"]


@dataclass(frozen=True, slots=True)
class SaferClipObjective:
    """Relative cross-modal redirection, proximity uni-modal redirection and preservation.

    The paper does not publish the weights of the terms, nor the form of preservation across modalities, which it takes "as
    in Safe-CLIP": here symmetric InfoNCE with the frozen counterparts.

    Attributes:
        cross_modal: weight of ``prefer(V(v*), T0(t^), T0(t*))`` and ``prefer(T(t*), V0(v^), V0(v*))``.
        uni_modal: weight of the cosine distances ``V(v*)`` to ``V0(v^)`` and ``T(t*)`` to ``T0(t^)``.
        preservation: weight of the cosine distances ``V(v)`` to ``V0(v)`` and ``T(t)`` to ``T0(t)``.
        cross_preservation: weight of InfoNCE between ``V(v)`` and ``T0(t)``, ``T(t)`` and ``V0(v)``.
        negatives: what redirection across modalities pushes away from. ``"own"``: each item's own unsafe counterpart, as in
            the paper; ``"batch"``: those of the whole batch, by :func:`~safer_clip.objectives.terms.prefer_to_all`;
            ``"none"``: nothing, it is the cosine distance to the target.
    """

    sides: ClassVar[tuple[Side, ...]] = SIDES
    needs_labels: ClassVar[bool] = False

    cross_modal: float = 1.0
    uni_modal: float = 1.0
    preservation: float = 1.0
    cross_preservation: float = 0.05
    negatives: Negatives = "own"

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """Eight weighted terms; shapes as in :class:`Sides` and :class:`Reference`."""
        own, text, image = reference.own, reference.target_text, reference.target_image
        uni, keep, match = self.uni_modal, self.preservation, self.cross_preservation
        return weigh_terms(
            {
                "redirect_image_to_text": self._redirect(trained.unsafe_image, text, own.unsafe_text),
                "redirect_text_to_image": self._redirect(trained.unsafe_text, image, own.unsafe_image),
                "redirect_image": (uni, cosine_distance, (trained.unsafe_image, image)),
                "redirect_text": (uni, cosine_distance, (trained.unsafe_text, text)),
                "preserve_image": (keep, cosine_distance, (trained.safe_image, own.safe_image)),
                "preserve_text": (keep, cosine_distance, (trained.safe_text, own.safe_text)),
                "preserve_image_to_text": (match, contrast, (trained.safe_image, own.safe_text)),
                "preserve_text_to_image": (match, contrast, (trained.safe_text, own.safe_image)),
            }
        )

    def _redirect(self, moved: Tensor | None, wanted: Tensor | None, unwanted: Tensor | None) -> Part:
        if self.negatives == "none":
            return self.cross_modal, cosine_distance, (moved, wanted)
        term = {"own": prefer, "batch": prefer_to_all}[self.negatives]
        return self.cross_modal, term, (moved, wanted, unwanted)
