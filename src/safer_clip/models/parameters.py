"""How large a model is."""

from __future__ import annotations

from torch import nn


def count_parameters(model: nn.Module, trained: bool = False) -> int:
    """Count a model's numbers; with ``trained`` those alone that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad or not trained)
