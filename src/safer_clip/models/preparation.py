"""From captions and pictures to a model's inputs: tokenizer, image processor, and how a family lays out its texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from safer_clip.models.similarity import Modality

if TYPE_CHECKING:
    from PIL.Image import Image

Inputs = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of dual encoder.

    Attributes:
        name: ``model_type`` in ``config.json``.
        model: class in ``transformers``.
        tokenizer: class in ``transformers``.
        processor: class in ``transformers``, of the Pillow backend: the two backends differ slightly in pixels.
        fixed_length: texts are padded to the context, because the model was trained so and pools there; otherwise they may
            be trimmed to the longest of a batch without any effect.
        modalities: what it embeds; a half has one only.
    """

    name: str
    model: str
    tokenizer: str
    processor: str
    fixed_length: bool
    modalities: tuple[Modality, ...] = ("text", "image")


FAMILIES = {
    family.name: family
    for family in (
        Family("clip", "CLIPModel", "CLIPTokenizer", "CLIPImageProcessorPil", fixed_length=False),
        # SigLIP 2 of fixed resolution calls itself siglip as well; siglip2 is the one of free resolution (NaFlex)
        Family("siglip", "SiglipModel", "AutoTokenizer", "SiglipImageProcessorPil", fixed_length=True),
        Family("siglip2", "Siglip2Model", "AutoTokenizer", "Siglip2ImageProcessorPil", fixed_length=True),
        Family("clip_text_model", "CLIPTextModelWithProjection", "CLIPTokenizer", "", False, ("text",)),
        Family("clip_vision_model", "CLIPVisionModelWithProjection", "", "CLIPImageProcessorPil", False, ("image",)),
    )
}


@dataclass(frozen=True, slots=True)
class Preparation:
    """All of a model but its weights, so that processes which only read data need not hold those.

    Attributes:
        family: how texts are laid out.
        tokenizer: the model's.
        processor: its image processor.
        context: longest text, in tokens.
    """

    family: Family
    tokenizer: Any
    processor: Any
    context: int

    def prepare_texts(self, texts: Sequence[str]) -> Inputs:
        """Token ids, and a mask where the tokenizer has one: each ``(n, length)``; longer texts are cut at the context."""
        padding = "max_length" if self.family.fixed_length else True
        tokens = self.tokenizer(list(texts), padding=padding, max_length=self.context, truncation=True, return_tensors="pt")
        return {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}

    def prepare_images(self, images: Sequence[Image]) -> Inputs:
        """Pixels ``(n, 3, h, w)``, or patches with their mask and shapes for models of free resolution."""
        return dict(self.processor(images=list(images), return_tensors="pt"))
