"""HySAC: safe and unsafe items in one hierarchy of hyperbolic space (Poppi et al., CVPR 2025, arXiv 2503.12127)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from safer_clip.objectives.base import SIDES, Reference, Side, Sides, Terms, weigh_terms

MIN_RADIUS = 0.1
_TINY = 1e-5


@dataclass(frozen=True, slots=True)
class HysacObjective:
    """Contrast of all four pairs of texts and images, and entailment from general to specific.

    Trained embeddings are points of the hyperboloid: space components and, last, time, as
    :class:`~safer_clip.models.similarity.Lorentz` embeds. The frozen model is not looked at. The authors learn curvature,
    temperature and both scales of features along; here they are settings, so that an objective has no weights of its own.

    Attributes:
        contrast: weight of InfoNCE by negative distance for ``t, v``; ``t*, v*``; ``t, v*`` and ``t*, v``.
        entailment: weight of the cones ``t`` over ``v``, ``t*`` over ``v*`` and ``v`` over ``t*``: text is more general
            than the image, safe is more general than unsafe.
        curvature: its negative is the space's; must be the embedding's.
        logit_scale: inverse temperature; the authors start at 1 / 0.07 and let it grow to 100.
    """

    sides: ClassVar[tuple[Side, ...]] = SIDES
    needs_labels: ClassVar[bool] = False

    contrast: float = 1.0
    entailment: float = 1.0
    curvature: float = 1.0
    logit_scale: float = 1 / 0.07

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """Seven weighted terms, each a seventh of its weight; trained embeddings are ``(b, d + 1)``."""
        near, entail = self.contrast / 7, self.entailment / 7
        text, image, unsafe_text, unsafe_image = (
            trained.safe_text,
            trained.safe_image,
            trained.unsafe_text,
            trained.unsafe_image,
        )
        distance = (self.curvature, self.logit_scale)
        return weigh_terms(
            {
                "contrast_safe": (near, contrast_by_distance, (text, image, *distance)),
                "contrast_unsafe": (near, contrast_by_distance, (unsafe_text, unsafe_image, *distance)),
                "contrast_safe_text": (near, contrast_by_distance, (text, unsafe_image, *distance)),
                "contrast_safe_image": (near, contrast_by_distance, (unsafe_text, image, *distance)),
                "entail_safe": (entail, leave_cone, (text, image, self.curvature)),
                "entail_unsafe": (entail, leave_cone, (unsafe_text, unsafe_image, self.curvature)),
                "entail_unsafe_text": (entail, leave_cone, (image, unsafe_text, self.curvature)),
            }
        )


def contrast_by_distance(left: Tensor, right: Tensor, curvature: float, scale: float) -> Tensor:
    """Symmetric InfoNCE with negative geodesic distance as similarity: row ``i`` matches row ``i``."""
    inner = left[:, :-1] @ right[:, :-1].T - left[:, -1:] @ right[:, -1:].T
    logits = -scale * torch.acosh((-curvature * inner).clamp_min(1 + 1e-7)) / curvature**0.5
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def leave_cone(general: Tensor, specific: Tensor, curvature: float) -> Tensor:
    """Mean angle by which each specific point lies outside the entailment cone of its general one; 0 inside.

    MERU's entailment loss (ICML 2023, equations 5 to 7): ``max(0, exterior angle - half aperture)``.
    """
    return F.relu(exterior_angle(general, specific, curvature) - half_aperture(general, curvature)).mean()


def half_aperture(rows: Tensor, curvature: float) -> Tensor:
    """Half aperture of each point's cone, radians: ``(b,)``; the nearer to the root, the wider."""
    norms = rows[:, :-1].norm(dim=-1)
    return torch.asin((2 * MIN_RADIUS / (curvature**0.5 * norms + _TINY)).clamp(max=1 - _TINY))


def exterior_angle(general: Tensor, specific: Tensor, curvature: float) -> Tensor:
    """Angle at ``general`` between the ray from the root onwards and the geodesic to ``specific``, radians: ``(b,)``."""
    inner = (general[:, :-1] * specific[:, :-1]).sum(dim=-1) - general[:, -1] * specific[:, -1]
    scaled = curvature * inner
    numerator = specific[:, -1] + scaled * general[:, -1]
    denominator = general[:, :-1].norm(dim=-1) * (scaled.square() - 1).clamp_min(_TINY).sqrt() + _TINY
    return torch.acos((numerator / denominator).clamp(-1 + _TINY, 1 - _TINY))
