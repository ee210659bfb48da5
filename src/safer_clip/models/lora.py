"""Low-rank adapters on both encoders, by ``peft``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from safer_clip.errors import ConfigError
from safer_clip.models.similarity import Modality

SAFE_CLIP_TARGETS = ("k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding")
TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")

# SigLIP's pooling head is PyTorch's own attention, which reads its layers' weights past any adapter
_POOLING_HEAD = re.compile(r".*vision_model\.head\..*")

Tower = Literal["text", "vision"]
TOWERS: tuple[Tower, ...] = ("text", "vision")
MODALITIES: dict[Tower, Modality] = {"text": "text", "vision": "image"}
"""What each encoder embeds."""


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Which layers get adapters, and of what kind.

    Attributes:
        rank: inner dimension; 16 in Safe-CLIP and SafeR-CLIP.
        alpha: scale; an adapter adds ``alpha / rank * B A``.
        dropout: of an adapter's input.
        targets: last part of the names of the layers that get one.
    """

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = TARGETS


def add_adapters(model: nn.Module, settings: LoraSettings, seed: int, towers: Sequence[Tower] = TOWERS) -> Any:
    """Wrap a model **in place**: its layers get adapters, and nothing else can be trained any more.

    The model given is from then on the one in training; a frozen copy has to be made, or encoded, before.

    Args:
        model: a ``transformers`` CLIP model.
        settings: of the adapters.
        seed: draws the adapters' first matrices; the second ones start at zero, so that nothing changes yet.
        towers: encoders that get adapters.

    Raises:
        ConfigError: a name is no layer's.
    """
    from peft import LoraConfig, get_peft_model

    layers = [f".{name}" for name, _ in model.named_modules()]
    unknown = [target for target in settings.targets if not any(layer.endswith(f".{target}") for layer in layers)]
    if unknown:  # peft is content with one that fits
        raise ConfigError(f"adapters found no place: no layer is named {', '.join(unknown)}")
    torch.manual_seed(seed)
    # peft wants whole numbers for alpha; the ratio to the rank is what counts
    used = [layer for layer in layers if tower_of(layer) in towers and not _POOLING_HEAD.fullmatch(layer)]
    excluded = sorted({layer[1:] for layer in layers} - {layer[1:] for layer in used} - {""})
    targets = [target for target in settings.targets if any(layer.endswith(f".{target}") for layer in used)]
    config = LoraConfig(
        r=settings.rank,
        exclude_modules=excluded or None,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=targets,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(f"adapters cannot be added to layers named {', '.join(settings.targets)}: {error}") from error


def checkpoint_activations(model: Any) -> None:
    """Let a model hold the inputs of its layers only, and compute the rest again backwards; in place.

    Here rather than by the Trainer, which does it only once training begins: the check of the gradients needs it, too.
    """
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def scale_adapters(model: Any, strength: float) -> None:
    """Multiply by a strength what adapters add to the weights, in place."""
    with torch.no_grad():
        for module in model.modules():
            for adapter in getattr(module, "lora_B", {}):
                module.lora_B[adapter].weight.mul_(strength)


def merge_adapters(model: Any) -> nn.Module:
    """Add the adapters to the weights and take them off; returns the plain model."""
    merged: nn.Module = model.merge_and_unload()
    return merged


def tower_of(name: str) -> Tower:
    """The encoder that a parameter or module belongs to, by its name."""
    return "text" if "text_model" in name or "text_projection" in name else "vision"


def towers_of(sides: Sequence[str]) -> tuple[Tower, ...]:
    """The encoders that embed some of these sides of quadruplets."""
    return tuple(tower for tower, modality in MODALITIES.items() if any(side.endswith(modality) for side in sides))


def measure_drift(model: Any) -> dict[Tower, float]:
    """L2 distance of each encoder's weights from the pre-trained ones: the Frobenius norm of all ``alpha / rank * B A``.

    Computed from the small factors, ``|BA|^2 = tr(B'B AA')``, so no weight-sized matrix is made.
    """
    squares: dict[Tower, float] = {"text": 0.0, "vision": 0.0}
    with torch.no_grad():
        for name, module in model.named_modules():
            for adapter in getattr(module, "lora_A", {}):
                inner = module.lora_A[adapter].weight.flatten(1).double()
                outer = module.lora_B[adapter].weight.flatten(1).double()
                square = ((outer.T @ outer) * (inner @ inner.T)).sum()
                squares[tower_of(name)] += float(square) * module.scaling[adapter] ** 2
    return {tower: value**0.5 for tower, value in squares.items()}
