"""Safe-CLIP: redirect each unsafe item to the safe item of its own quadruplet (Poppi et al., ECCV 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from safer_clip.objectives.base import SIDES, Reference, Side, Sides, Terms, weigh_terms
from safer_clip.objectives.terms import contrast, cosine_distance


@dataclass(frozen=True, slots=True)
class SafeClipObjective:
    """Eight terms with the paper's weights, normalised to sum 1, and divided by eight as the authors' code does.

    Attributes:
        weights: of, in this order, the cosine distances ``T(t)-T0(t)``, ``T(t*)-T0(t)``, ``V(v)-V0(v)``, ``V(v*)-V0(v)``
            and the InfoNCE ``T(t)-V0(v)``, ``T(t*)-V0(v)``, ``V(v)-T0(t)``, ``V(v*)-T0(t)``.
        live_reference: read ``T0`` and ``V0`` as the authors' code has them: adapters are injected in place there, so that
            the reference is the model in training, without gradients. (Its dropout draws once more there, not here.)
    """

    sides: ClassVar[tuple[Side, ...]] = SIDES
    needs_labels: ClassVar[bool] = False

    weights: tuple[float, ...] = (0.1, 0.1, 0.1, 0.2, 0.25, 0.25, 0.25, 0.5)
    live_reference: bool = False

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """Eight weighted terms; shapes as in :class:`Sides` and :class:`Reference`."""
        own = trained if self.live_reference else reference.own
        text, image = (None if side is None else side.detach() for side in (own.safe_text, own.safe_image))
        parts = {
            "preserve_text": (cosine_distance, (trained.safe_text, text)),
            "redirect_text": (cosine_distance, (trained.unsafe_text, text)),
            "preserve_image": (cosine_distance, (trained.safe_image, image)),
            "redirect_image": (cosine_distance, (trained.unsafe_image, image)),
            "preserve_text_to_image": (contrast, (trained.safe_text, image)),
            "redirect_text_to_image": (contrast, (trained.unsafe_text, image)),
            "preserve_image_to_text": (contrast, (trained.safe_image, text)),
            "redirect_image_to_text": (contrast, (trained.unsafe_image, text)),
        }
        total = sum(self.weights) * len(parts)
        weighted = zip(parts.items(), self.weights, strict=True)
        return weigh_terms({name: (weight / total, *part) for (name, part), weight in weighted})
