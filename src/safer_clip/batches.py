"""From quadruplets to batches: pictures and captions of both kinds, and what the frozen model said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from safer_clip.curriculum import TrainingOrder
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.objectives import Reference, Sides
from safer_clip.pairing import Pairing

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.models.dual_encoder import DualEncoder

Batch = dict[str, Tensor]

_REFERENCE_PREFIX = "reference_"


class OrderedQuadruplets(torch.utils.data.Dataset[dict[str, Any]]):
    """The table in training order: item ``i`` is the ``i``-th row that training sees, through all epochs.

    Args:
        table: quadruplets with all pictures.
        order: the rows to serve.
        processor: turns a picture into pixels, so that this happens where pictures are read.
    """

    def __init__(self, table: Dataset, order: TrainingOrder, processor: Any) -> None:
        self.table = table.select_columns(["safe_caption", "unsafe_caption", "safe_image", "unsafe_image"])
        self.order = order
        self.processor = processor

    def __len__(self) -> int:
        return len(self.order.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = int(self.order.rows[index])
        cells = self.table[row]
        return {
            "row": row,
            "captions": (cells["safe_caption"], cells["unsafe_caption"]),
            "pixels": self._process([cells["safe_image"], cells["unsafe_image"]]),
        }

    def _process(self, images: list[Any]) -> Tensor:
        rgb = [image.convert("RGB") for image in images]
        pixels: Tensor = self.processor(images=rgb, return_tensors="pt")["pixel_values"]
        return pixels


@dataclass(frozen=True)
class ReferenceRows:
    """The frozen model's embeddings of a batch and of its targets, looked up in the store.

    Attributes:
        embeddings: of the whole table, possibly memory-mapped.
        pairing: target row of every row.
    """

    embeddings: QuadrupletEmbeddings
    pairing: Pairing

    def look_up(self, rows: Sequence[int]) -> Batch:
        """Six tensors float32 ``(b, d)`` under prefixed names; :func:`split_reference` makes a ``Reference`` of them."""
        own = np.asarray(rows)
        target = self.pairing.targets[own]
        store = self.embeddings
        found = {
            "safe_text": store.safe_text[own],
            "unsafe_text": store.unsafe_text[own],
            "safe_image": store.safe_image[own],
            "unsafe_image": store.unsafe_image[own],
            "target_text": store.safe_text[target],
            "target_image": store.safe_image[target],
        }
        return {_REFERENCE_PREFIX + name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in found.items()}


@dataclass(frozen=True)
class Collator:
    """Puts rows together: the safe half first, then the unsafe half, so that each encoder runs once for both.

    Attributes:
        encoder: gives the tokenizer.
        reference: where the frozen embeddings are looked up.
    """

    encoder: DualEncoder
    reference: ReferenceRows

    def __call__(self, items: Sequence[dict[str, Any]]) -> Batch:
        """Collate ``b`` rows.

        Returns:
            ``input_ids`` and ``attention_mask`` ``(2b, longest)``, ``pixel_values`` ``(2b, 3, h, w)``, ``rows`` ``(b,)``
            and the reference's six, each ``(b, d)``.
        """
        texts = [item["captions"][side] for side in (0, 1) for item in items]
        tokens = self.encoder.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        rows = [item["row"] for item in items]
        return {
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            "pixel_values": torch.stack([item["pixels"][side] for side in (0, 1) for item in items]),
            "rows": torch.tensor(rows),
            **self.reference.look_up(rows),
        }


def split_reference(batch: Batch) -> tuple[Batch, Reference]:
    """Take a batch apart into what the model is given and what it is compared with."""
    found = {
        name.removeprefix(_REFERENCE_PREFIX): part for name, part in batch.items() if name.startswith(_REFERENCE_PREFIX)
    }
    own = Sides(**{side: found[side] for side in ("safe_text", "unsafe_text", "safe_image", "unsafe_image")})
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    return inputs, Reference(own, found["target_text"], found["target_image"])


def split_sides(text: Tensor, image: Tensor) -> Sides:
    """Cut embeddings ``(2b, d)`` of both halves into the four sides, ``(b, d)`` each."""
    (safe_text, unsafe_text), (safe_image, unsafe_image) = text.chunk(2), image.chunk(2)
    return Sides(safe_text, unsafe_text, safe_image, unsafe_image)
