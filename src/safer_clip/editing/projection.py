"""Projection: take a low-rank unsafe subspace out of the embeddings, by one linear map merged into the projection layers.

SAFREE (Yoon et al., ICLR 2025, arXiv 2410.12761) spans a subspace with embeddings of unsafe words and projects the tokens of
a prompt that lie near it out of it; removing spanned directions of CLIP's joint space by a closed-form matrix is that of
"Debiasing Vision-Language Models via Biased Prompts" (Chuang et al., arXiv 2302.00070). Here the subspace comes from data:
the first right singular vectors ``U`` of the differences ``T0(t*) - T0(t^)`` between unsafe captions and their safe
partners, and for the image encoder those of ``V0(v*) - V0(v^)``.

SAFREE's gate, by which only tokens near the subspace are moved, is no linear map, so it could not be merged and a reader of
the folder would have to apply it. This is the ungated form, ``e - strength U U' e``: an ordinary CLIP folder comes out,
which every tool reads, and all embeddings move by what they have in the subspace, safe ones too. How far, is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from safer_clip.editing.base import Edited, copy_encoder
from safer_clip.errors import ConfigError
from safer_clip.removal import span_differences

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.batches import ReferenceRows
    from safer_clip.models.dual_encoder import DualEncoder

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class ProjectionEdit:
    """Ungated projection out of an unsafe subspace, in each modality its own.

    Attributes:
        rank: dimensions of the subspace.
        text_strength: share of it that is taken out of text embeddings: 1 projects, 2 reflects, 0 leaves them alone.
        image_strength: likewise of image embeddings; without pictures they are left alone.
    """

    rank: float = 8
    text_strength: float = 1.0
    image_strength: float = 1.0

    def __call__(self, encoder: DualEncoder, table: Dataset, reference: ReferenceRows) -> Edited:
        """Edit a model; raises ``ConfigError`` for one whose encoders do not end in a linear layer."""
        edited, embedded, targets = copy_encoder(encoder), reference.embeddings, reference.pairing.targets
        told: dict[str, float] = {"rank": int(self.rank)}
        for modality, strength in (("text", self.text_strength), ("image", self.image_strength)):
            safe, unsafe = getattr(embedded, f"safe_{modality}"), getattr(embedded, f"unsafe_{modality}")
            if strength == 0 or not (len(safe) and len(unsafe)):
                continue
            span = _take_first(span_differences(unsafe, safe[targets])[0], int(self.rank))
            change = np.eye(safe.shape[1]) - strength * span @ span.T
            _merge(edited.model, modality, change)
            told |= {f"{modality}_safe_moved": _move(safe, change), f"{modality}_unsafe_moved": _move(unsafe, change)}
        return Edited(edited, told)


def _take_first(directions: Floats, rank: int) -> Floats:
    if not 1 <= rank <= len(directions):
        raise ConfigError(f"rank {rank} is not between 1 and the {len(directions)} dimensions of the embeddings")
    return directions[:, :rank]


def _move(embeddings: Floats, change: Floats) -> float:
    """Mean cosine distance by which a linear map turns embeddings."""
    moved = embeddings @ change.T
    cosines = (embeddings * moved).sum(1) / (np.linalg.norm(embeddings, axis=1) * np.linalg.norm(moved, axis=1)).clip(1e-12)
    return float(1 - cosines.mean())


def _merge(model: Any, modality: str, change: Floats) -> None:
    """Put a linear map of embeddings behind the layer that gives them, in place."""
    layer = getattr(model, {"text": "text_projection", "image": "visual_projection"}[modality], None)
    if not isinstance(layer, torch.nn.Linear):
        raise ConfigError(
            f"the {modality} encoder of a {model.config.model_type} model does not end in a projection that a map could be "
            f"merged into; set objective.{modality}_strength=0"
        )
    matrix = torch.from_numpy(change).to(layer.weight.device, torch.float64)
    with torch.no_grad():
        layer.weight.copy_((matrix @ layer.weight.double()).to(layer.weight.dtype))
