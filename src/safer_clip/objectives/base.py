"""What every objective is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

Terms = dict[str, Tensor]
"""Named terms of a loss, each a scalar with its weight already on it: the loss is their sum."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Embeddings of a batch of quadruplets, each ``(b, d)`` and L2-normalised; row ``i`` of all belongs together.

    The trained unsafe sides are ``(0, d)`` for an objective that does not need them.
    """

    safe_text: Tensor
    unsafe_text: Tensor
    safe_image: Tensor
    unsafe_image: Tensor


@dataclass(frozen=True, slots=True)
class Reference:
    """What the frozen, pre-trained model says of the same batch; nothing here carries a gradient.

    Attributes:
        own: the batch's own four sides.
        target_text: embedding of the safe caption that each unsafe item is redirected to: ``(b, d)``.
        target_image: embedding of that caption's picture: ``(b, d)``.
    """

    own: Sides
    target_text: Tensor
    target_image: Tensor


class Objective(Protocol):
    """A method of safety tuning: it sees embeddings, and never a model, a file or a configuration.

    Attributes:
        needs_unsafe: whether it looks at the trained unsafe sides; where it does not, they are never computed.
    """

    needs_unsafe: ClassVar[bool]

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """Weighted, named terms of the loss."""
        ...
