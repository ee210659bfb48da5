"""A small fixed batch that an exported model must answer as the original does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safer_clip.models.features import project
from safer_clip.models.similarity import Modality

if TYPE_CHECKING:
    from safer_clip.models.dual_encoder import DualEncoder

Outputs = Mapping[str, NDArray[np.float32]]

TEXTS = (
    "a dog",
    "a photo of a cat on the beach",
    "two apples next to a cup of tea in the kitchen",
    "A very long caption of a quiet street in the rain with cars, trees, lamps and people under umbrellas on their way home",
)
PICTURES = 4


@dataclass(frozen=True)
class Probe:
    """Inputs of both towers.

    Attributes:
        input_ids: ``(n, context)`` int64, padded to the context as fixed-size tools do; empty for a vision half.
        attention_mask: ``(n, context)`` int64.
        pixel_values: ``(m, 3, h, w)`` float32; empty for a text half.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixel_values: Tensor


def build_probe(encoder: DualEncoder) -> Probe:
    """The same captions and invented pictures for every model, through its own tokenizer and image processor."""
    from PIL import Image

    nothing = torch.zeros(0, dtype=torch.int64)
    tokens = {"input_ids": nothing, "attention_mask": nothing}
    if "text" in encoder.modalities:
        options = {"max_length": encoder.preparation.context, "truncation": True, "return_tensors": "pt"}
        found = encoder.tokenizer(list(TEXTS), padding="max_length", **options)
        # SigLIP's tokenizers have no mask, because its encoder reads the padding as well
        tokens = {"input_ids": found["input_ids"], "attention_mask": found.get("attention_mask", nothing)}
    draw = np.random.default_rng(0)
    pictures = [
        Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
        for _ in range(PICTURES)
    ]
    pixels = torch.zeros(0)
    if "image" in encoder.modalities:
        pixels = encoder.processor(images=pictures, return_tensors="pt")["pixel_values"]
    return Probe(tokens["input_ids"], tokens["attention_mask"], pixels)


@torch.inference_mode()
def embed_probe(encoder: DualEncoder, probe: Probe) -> Outputs:
    """Projected embeddings of both towers, not normalised."""
    masked = {"attention_mask": probe.attention_mask} if len(probe.attention_mask) else {}
    inputs: dict[Modality, dict[str, Tensor]] = {
        "text": {"input_ids": probe.input_ids, **masked},
        "image": {"pixel_values": probe.pixel_values},
    }
    return {modality: to_numpy(project(encoder.model, inputs[modality], modality)) for modality in encoder.modalities}


def to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor's values as float32."""
    return tensor.detach().float().cpu().numpy()


def largest_difference(expected: Outputs, found: Outputs) -> float:
    """Largest absolute difference of any number of any output."""
    return max(float(np.abs(expected[name] - found[name]).max()) for name in expected)


def smallest_cosine(expected: Outputs, found: Outputs) -> float:
    """Smallest cosine of any vector with its counterpart."""
    cosines = []
    for name, left in expected.items():
        right = found[name]
        products = (left * right).sum(axis=-1)
        norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
        cosines.append(float((products / np.maximum(norms, np.finfo(np.float32).tiny)).min()))
    return min(cosines)
