"""From quadruplets to batches: pictures and captions of both kinds, and what the frozen model said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safer_clip.curriculum import TrainingOrder
from safer_clip.evaluation.retrieval import Floats, QuadrupletEmbeddings
from safer_clip.models.similarity import Modality
from safer_clip.objectives.base import SIDES, Labels, Reference, Side, Sides
from safer_clip.pairing import Mixture, Pairing, mix_rows

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.labels import LabelRows
    from safer_clip.models.preparation import Preparation
    from safer_clip.removal import Removal

Batch = dict[str, Tensor]

_REFERENCE_PREFIX = "reference_"
_LABELS = ("text_unsafe", "image_unsafe")


class OrderedQuadruplets(torch.utils.data.Dataset[dict[str, Any]]):
    """The table in training order: item ``i`` is the ``i``-th row that training sees, through all epochs.

    Args:
        table: quadruplets with all pictures.
        order: the rows to serve.
        preparation: turns a picture into pixels, so that this happens where pictures are read.
        sides: which sides of the quadruplets to read, of :data:`~safer_clip.objectives.base.SIDES` and in that order.
    """

    def __init__(
        self, table: Dataset, order: TrainingOrder, preparation: Preparation, sides: Sequence[Side] = SIDES
    ) -> None:
        from datasets import Image

        self.texts = [side for side in sides if side.endswith("text")]
        self.images = [side for side in sides if side.endswith("image")]
        self.table = table.select_columns([*map(name_column, self.texts), *self.images])
        for side in self.images:
            self.table = self.table.cast_column(side, Image(decode=False))
        self.picture = Image()
        self.order = order
        self.preparation = preparation

    def __len__(self) -> int:
        return len(self.order.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Read a whole batch, which is what a ``DataLoader`` asks for: decoding and resizing run in threads."""
        rows = [int(self.order.rows[index]) for index in indices]
        cells = self.table[rows]
        stored = [cell for side in self.images for cell in cells[side]]
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # one in a worker process
            images = list(threads.map(self._prepare, stored))
        return [
            {
                "row": row,
                "captions": [cells[name_column(side)][i] for side in self.texts],
                "images": images[i :: len(rows)],
            }
            for i, row in enumerate(rows)
        ]

    def _prepare(self, cell: dict[str, Any]) -> Batch:
        image = self.picture.decode_example(cell).convert("RGB")
        return {name: part[0] for name, part in self.preparation.prepare_images([image]).items()}


@dataclass(frozen=True)
class ReferenceRows:
    """The frozen model's embeddings of a batch and of its targets, looked up in the store.

    Attributes:
        embeddings: of the whole table, possibly memory-mapped.
        pairing: target row, or rows, of every row.
        labels: of every row, for an objective that needs them.
        removals: what makes targets of items themselves, by modality, for an objective that wants those instead.
    """

    embeddings: QuadrupletEmbeddings
    pairing: Pairing
    labels: LabelRows | None = None
    removals: Mapping[Modality, Removal] = field(default_factory=dict)

    def look_up(self, rows: Sequence[int]) -> Batch:
        """Up to six tensors float32 ``(b, d)`` under prefixed names; :func:`split_reference` makes a ``Reference`` of them.

        Sides that the store lacks are left out. Labels, if there are any, are bool ``(b,)``.
        """
        own = np.asarray(rows)
        found: dict[str, Any] = {side: getattr(self.embeddings, side)[own] for side in SIDES if self.embeddings.has(side)}
        for modality in get_args(Modality):
            if self.embeddings.has(f"safe_{modality}"):
                found[f"target_{modality}"] = self._find_targets(modality, own)
        if self.labels is not None:
            found |= {name: getattr(self.labels, name)[own] for name in _LABELS}
        return {_REFERENCE_PREFIX + name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in found.items()}

    def _find_targets(self, modality: Modality, rows: NDArray[np.int64]) -> Floats:
        store: Floats = getattr(self.embeddings, f"safe_{modality}")
        if modality in self.removals:
            return self.removals[modality].find_targets(getattr(self.embeddings, f"unsafe_{modality}"), store, rows)
        mixture = self.pairing.mixture
        if mixture is None:
            return store[self.pairing.targets[rows]]
        # mixed here and not once for all rows: this reads a batch's few rows, and holds no second store
        return mix_rows(store, Mixture(mixture.rows[rows], mixture.weights[rows]))


@dataclass(frozen=True)
class Collator:
    """Puts rows together, side after side, so that each encoder runs once for all of them.

    Attributes:
        preparation: gives the tokenizer.
        reference: where the frozen embeddings are looked up.
    """

    preparation: Preparation
    reference: ReferenceRows

    def __call__(self, items: Sequence[dict[str, Any]]) -> Batch:
        """Collate ``b`` rows with ``k`` sides of a modality.

        Returns:
            the model's inputs, such as ``input_ids`` ``(kb, longest)`` and ``pixel_values`` ``(kb, 3, h, w)``, ``rows``
            ``(b,)``, and the reference's, each ``(b, d)``.
        """
        texts = [caption for side in zip(*(item["captions"] for item in items), strict=True) for caption in side]
        images = [image for side in zip(*(item["images"] for item in items), strict=True) for image in side]
        rows = [item["row"] for item in items]
        return {
            **(self.preparation.prepare_texts(texts) if texts else {}),
            **({name: torch.stack([image[name] for image in images]) for name in images[0]} if images else {}),
            "rows": torch.tensor(rows),
            **self.reference.look_up(rows),
        }


def split_reference(batch: Batch) -> tuple[Batch, Reference]:
    """Take a batch apart into what the model is given and what it is compared with."""
    found = {
        name.removeprefix(_REFERENCE_PREFIX): part for name, part in batch.items() if name.startswith(_REFERENCE_PREFIX)
    }
    own = Sides(**{side: found.get(side) for side in SIDES})
    inputs = {name: part for name, part in batch.items() if name != "rows" and not name.startswith(_REFERENCE_PREFIX)}
    labels = Labels(*(found[name] for name in _LABELS)) if _LABELS[0] in found else None
    return inputs, Reference(own, found.get("target_text"), found.get("target_image"), labels)


def split_sides(text: Tensor | None, image: Tensor | None, sides: Sequence[Side], rows: int) -> Sides:
    """Cut embeddings ``(k b, d)`` of both modalities into sides of ``b`` rows, in the order in which they were collated."""
    parts = {"text": _cut(text, rows), "image": _cut(image, rows)}
    return Sides(**{side: parts[side.split("_")[1]].pop(0) for side in sides})


def name_column(side: str) -> str:
    """The table's column of a side."""
    return side.replace("text", "caption")


def _cut(embeddings: Tensor | None, rows: int) -> list[Tensor]:
    return [] if embeddings is None else [embeddings[start : start + rows] for start in range(0, len(embeddings), rows)]
