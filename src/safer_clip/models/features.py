"""A forward pass through one encoder alone, where data have no pictures."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from transformers.models.clip.modeling_clip import CLIPOutput

if TYPE_CHECKING:
    from torch import Tensor, nn


def read_texts_alone(model: nn.Module) -> None:
    """Let a model's own forward pass take captions without pictures, **in place**, until :func:`read_both`.

    Gradients are gathered from all devices only around the model's own forward pass, so that calling its text encoder
    instead would train each device by itself.
    """
    model.forward = MethodType(_embed_texts, model)


def read_both(model: nn.Module) -> None:
    """Undo :func:`read_texts_alone`, if it was done."""
    vars(model).pop("forward", None)


def _embed_texts(model: Any, **texts: Tensor) -> CLIPOutput:
    return CLIPOutput(text_embeds=F.normalize(model.get_text_features(**texts).pooler_output, dim=-1))
