"""Projected features of one modality, and a forward pass that embeds what a batch holds, in a model's own similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any

from transformers.models.clip.modeling_clip import CLIPOutput

from safer_clip.models.similarity import COSINE, Modality, Similarity

if TYPE_CHECKING:
    from torch import Tensor, nn

_TEXT_INPUTS = ("input_ids", "attention_mask")


def project(model: Any, inputs: Mapping[str, Tensor], modality: Modality) -> Tensor:
    """Features in the common space, not normalised: ``(n, d)``; of a whole model, or of a half that has this modality."""
    whole = getattr(model, f"get_{modality}_features", None)
    if whole is not None:
        features: Tensor = whole(**inputs).pooler_output  # projected already, in transformers 5
        return features
    output = type(model).forward(model, **inputs)  # the class's own, whatever read_through has put in its place
    embedded: Tensor = getattr(output, f"{modality}_embeds")
    return embedded


def read_through(model: nn.Module, modalities: Sequence[Modality], similarity: Similarity = COSINE) -> None:
    """Let a model's own forward pass take these modalities and embed them, **in place**, until :func:`read_plainly`.

    Gradients are gathered from all devices only around the model's own forward pass, so that calling one of its encoders
    instead would train each device by itself.
    """

    def embed(own: Any, **inputs: Tensor) -> CLIPOutput:
        parts: dict[Modality, dict[str, Tensor]] = {
            "text": {name: part for name, part in inputs.items() if name in _TEXT_INPUTS},
            "image": {name: part for name, part in inputs.items() if name not in _TEXT_INPUTS},
        }
        rows = {each: similarity.embed(project(own, parts[each], each).float(), each) for each in modalities}
        output = CLIPOutput()
        output.text_embeds, output.image_embeds = rows.get("text"), rows.get("image")
        return output

    model.forward = MethodType(embed, model)


def read_plainly(model: nn.Module) -> None:
    """Undo :func:`read_through`, if it was done."""
    vars(model).pop("forward", None)
