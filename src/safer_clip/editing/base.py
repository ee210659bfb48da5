"""What every edit is given, and what it gives back."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from safer_clip.models.lora import Tower, tower_of

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.batches import ReferenceRows
    from safer_clip.models.dual_encoder import DualEncoder


@dataclass(frozen=True, slots=True)
class Edited:
    """A model with edited weights.

    Attributes:
        encoder: a new model; the given one is as it was.
        told: figures that say what was done, by name.
    """

    encoder: DualEncoder
    told: dict[str, float]


class Edit(Protocol):
    """A training-free method: a dataclass of settings that, called, edits a copy of a model."""

    def __call__(self, encoder: DualEncoder, table: Dataset, reference: ReferenceRows) -> Edited:
        """Edit a model.

        Args:
            encoder: the pre-trained model, which is left as it is.
            table: quadruplets; pictures of a side may be absent from all rows.
            reference: that model's embeddings of the table, and the safe partner of each row.

        Raises:
            ConfigError: the model or the data are none that the method can work with.
        """
        ...


def copy_encoder(encoder: DualEncoder) -> DualEncoder:
    """A model that can be edited without changing the given one."""
    return replace(encoder, model=copy.deepcopy(encoder.model))


def measure_change(before: nn.Module, after: nn.Module) -> dict[Tower, float]:
    """L2 distance of each encoder's weights before and after."""
    squares: dict[Tower, float] = {"text": 0.0, "vision": 0.0}
    with torch.no_grad():
        for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
            squares[tower_of(name)] += float((new.double() - old.double()).square().sum())
    return {tower: square**0.5 for tower, square in squares.items()}
