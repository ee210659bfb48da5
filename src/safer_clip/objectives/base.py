"""What every objective is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from torch import Tensor

if TYPE_CHECKING:
    from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
    from safer_clip.models.similarity import Modality
    from safer_clip.pairing import Pairing
    from safer_clip.removal import Removal

Terms = dict[str, Tensor]
"""Named terms of a loss, each a scalar with its weight already on it: the loss is their sum."""

Side = Literal["safe_text", "unsafe_text", "safe_image", "unsafe_image"]
SIDES: tuple[Side, ...] = ("safe_text", "unsafe_text", "safe_image", "unsafe_image")


@dataclass(frozen=True, slots=True)
class Sides:
    """Embeddings of a batch of quadruplets, each ``(b, d)`` and L2-normalised; row ``i`` of all belongs together.

    A side is ``None`` where the data have no pictures, or where the objective does not look at it.
    """

    safe_text: Tensor | None = None
    unsafe_text: Tensor | None = None
    safe_image: Tensor | None = None
    unsafe_image: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """Whether the two halves of each row's unsafe side really are unsafe, as ViSUv2 has it: bool, ``(b,)`` each."""

    text_unsafe: Tensor
    image_unsafe: Tensor


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of the same batch without the model in training; nothing here carries a gradient.

    Attributes:
        own: the frozen, pre-trained model's embeddings of the batch's own four sides.
        target_text: likewise of the safe caption that each unsafe item is redirected to: ``(b, d)``.
        target_image: likewise of that caption's picture: ``(b, d)``, or ``None`` without pictures.
        labels: for an objective that needs them; ``None`` says that everything on an unsafe side is unsafe.
    """

    own: Sides
    target_text: Tensor | None
    target_image: Tensor | None
    labels: Labels | None = None


Part = tuple[float, Callable[..., Tensor], tuple[Tensor | float | None, ...]]
"""A term to be: its weight, a function of embeddings, and what it is a function of."""


def weigh_terms(parts: Mapping[str, Part]) -> Terms:
    """Compute the terms whose sides are all there; the others are left out, so that captions alone can be trained on."""
    return {
        name: weight * function(*inputs)
        for name, (weight, function, inputs) in parts.items()
        if all(side is not None for side in inputs)
    }


@runtime_checkable
class TargetFinder(Protocol):
    """An objective that redirects items otherwise than to their paired rows."""

    def plan_removals(self, embedded: QuadrupletEmbeddings, pairing: Pairing) -> Mapping[Modality, Removal]:
        """What makes the targets of each modality that the data have, from the frozen embeddings of all rows."""
        ...


class Objective(Protocol):
    """A method of safety tuning: it sees embeddings, and never a model, a file or a configuration.

    Attributes:
        sides: the trained sides that it looks at; others are neither read nor encoded.
        needs_labels: whether it asks what of an unsafe side really is unsafe; otherwise labels are not read.
    """

    sides: ClassVar[tuple[Side, ...]]
    needs_labels: ClassVar[bool]

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """Weighted, named terms of the loss."""
        ...
