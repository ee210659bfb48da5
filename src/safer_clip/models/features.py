"""Projected features of one modality, and a forward pass through one encoder alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from transformers.models.clip.modeling_clip import CLIPOutput

from safer_clip.models.similarity import Modality

if TYPE_CHECKING:
    from torch import Tensor, nn


def project(model: Any, inputs: Mapping[str, Tensor], modality: Modality) -> Tensor:
    """Features in the common space, not normalised: ``(n, d)``; of a whole model, or of a half that has this modality."""
    whole = getattr(model, f"get_{modality}_features", None)
    if whole is not None:
        features: Tensor = whole(**inputs).pooler_output  # projected already, in transformers 5
        return features
    output = type(model).forward(model, **inputs)  # the class's own, whatever read_alone has put in its place
    embedded: Tensor = getattr(output, f"{modality}_embeds")
    return embedded


def read_alone(model: nn.Module, modality: Modality) -> None:
    """Let a model's own forward pass take one modality and normalise its embeddings, **in place**, until :func:`read_both`.

    Gradients are gathered from all devices only around the model's own forward pass, so that calling one of its encoders
    instead would train each device by itself.
    """

    def embed(own: Any, **inputs: Tensor) -> CLIPOutput:
        rows = F.normalize(project(own, inputs, modality), dim=-1)
        return CLIPOutput(text_embeds=rows) if modality == "text" else CLIPOutput(image_embeds=rows)

    model.forward = MethodType(embed, model)


def read_both(model: nn.Module) -> None:
    """Undo :func:`read_alone`, if it was done."""
    vars(model).pop("forward", None)
