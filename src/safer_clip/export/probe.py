"""A small fixed batch that an exported model must answer as the original does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
        input_ids: ``(n, context)`` int64, padded to the context as fixed-size tools do.
        attention_mask: ``(n, context)`` int64.
        pixel_values: ``(m, 3, h, w)`` float32.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixel_values: Tensor


def build_probe(encoder: DualEncoder) -> Probe:
    """The same captions and invented pictures for every model, through its own tokenizer and image processor."""
    from PIL import Image

    context = encoder.model.config.text_config.max_position_embeddings
    tokens = encoder.tokenizer(list(TEXTS), padding="max_length", max_length=context, truncation=True, return_tensors="pt")
    draw = np.random.default_rng(0)
    pictures = [
        Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
        for _ in range(PICTURES)
    ]
    pixels = encoder.processor(images=pictures, return_tensors="pt")["pixel_values"]
    return Probe(tokens["input_ids"], tokens["attention_mask"], pixels)


@torch.inference_mode()
def embed_probe(encoder: DualEncoder, probe: Probe) -> Outputs:
    """Projected embeddings of both towers, not normalised."""
    text = encoder.model.get_text_features(probe.input_ids, attention_mask=probe.attention_mask).pooler_output
    image = encoder.model.get_image_features(probe.pixel_values).pooler_output
    return {"text": to_numpy(text), "image": to_numpy(image)}


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
