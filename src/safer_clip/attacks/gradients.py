"""How a model's embeddings depend on tokens and on pixels: the white-box side of an attack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.features import project
from safer_clip.models.preparation import Inputs
from safer_clip.models.similarity import Modality

Score = Callable[[Tensor], Tensor]


def differentiate_texts(encoder: DualEncoder, inputs: Inputs, score: Score) -> tuple[Tensor, Tensor]:
    """Differentiate each text's score by its token embeddings, without positions.

    The gradient by a one-hot token ``v`` at a position is the gradient there times the embedding of ``v``.

    Args:
        encoder: the model; its weights get no gradients.
        inputs: token ids ``(n, length)``, and a mask if the model takes one.
        score: from normalised embeddings ``(n, d)`` to scores ``(n,)``, each of its own row.

    Returns:
        ``(tokens, gradients)``: the token embeddings and the gradients by them, both ``(n, length, width)``.
    """
    leaves: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[0]

    hook = find_token_layer(encoder).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            (gradients,) = torch.autograd.grad(score(_embed(encoder, inputs, "text")).sum(), leaves)
    finally:
        hook.remove()
    return leaves[0].detach(), gradients


def differentiate_pixels(encoder: DualEncoder, pixels: Tensor, score: Score) -> tuple[Tensor, Tensor]:
    """Differentiate each picture's score by its pixels.

    Args:
        encoder: the model; its weights get no gradients.
        pixels: normalised as the model takes them, ``(n, 3, height, width)``.
        score: from normalised embeddings ``(n, d)`` to scores ``(n,)``, each of its own row.

    Returns:
        ``(scores, gradients)``: ``(n,)``, and of the pixels' shape.
    """
    leaf = pixels.detach().requires_grad_()
    with torch.enable_grad():
        scores = score(_embed(encoder, {"pixel_values": leaf}, "image"))
        (gradients,) = torch.autograd.grad(scores.sum(), [leaf])
    return scores.detach(), gradients


def find_token_layer(encoder: DualEncoder) -> torch.nn.Embedding:
    """The text encoder's table of token embeddings."""
    layer: torch.nn.Embedding = encoder.model.text_model.embeddings.token_embedding
    return layer


def _embed(encoder: DualEncoder, inputs: Inputs, modality: Modality) -> Tensor:
    features = project(encoder.model, inputs, modality)
    # half precision is too coarse for gradients, while double precision is kept
    return encoder.similarity.embed(features.to(torch.promote_types(features.dtype, torch.float32)), modality)
