"""CLIP+: the same model fine-tuned on the safe pairs alone, the control that SafeR-CLIP's tables carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from safer_clip.objectives.base import Reference, Side, Sides, Terms, weigh_terms
from safer_clip.objectives.terms import LOGIT_SCALE, contrast


@dataclass(frozen=True, slots=True)
class ClipPlusObjective:
    """CLIP's own loss, symmetric InfoNCE between the trained safe texts and the trained safe images.

    Attributes:
        scale: inverse temperature.
    """

    sides: ClassVar[tuple[Side, ...]] = ("safe_text", "safe_image")
    needs_labels: ClassVar[bool] = False

    scale: float = LOGIT_SCALE

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """One term; the unsafe sides and the reference are not looked at."""
        return weigh_terms({"contrast": (1.0, contrast, (trained.safe_text, trained.safe_image, self.scale))})
