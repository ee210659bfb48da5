"""From quadruplets to batches: pictures and captions of both kinds, and what the frozen model said of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from safer_clip.curriculum import TrainingOrder
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.objectives import Reference, Sides
from safer_clip.pairing import Pairing

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.models.preparation import Preparation

Batch = dict[str, Tensor]

Kind = Literal["safe", "unsafe"]
KINDS: tuple[Kind, Kind] = ("safe", "unsafe")

_REFERENCE_PREFIX = "reference_"


class OrderedQuadruplets(torch.utils.data.Dataset[dict[str, Any]]):
    """The table in training order: item ``i`` is the ``i``-th row that training sees, through all epochs.

    Args:
        table: quadruplets with all pictures.
        order: the rows to serve.
        preparation: turns a picture into pixels, so that this happens where pictures are read.
        kinds: which halves of the quadruplets to read.
    """

    def __init__(
        self, table: Dataset, order: TrainingOrder, preparation: Preparation, kinds: Sequence[Kind] = KINDS
    ) -> None:
        from datasets import Image

        self.kinds = tuple(kinds)
        self.table = table.select_columns([f"{kind}_{part}" for kind in kinds for part in ("caption", "image")])
        for kind in kinds:
            self.table = self.table.cast_column(f"{kind}_image", Image(decode=False))
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
        stored = [cell for kind in self.kinds for cell in cells[f"{kind}_image"]]
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # one in a worker process
            images = list(threads.map(self._prepare, stored))
        return [
            {
                "row": row,
                "captions": [cells[f"{kind}_caption"][i] for kind in self.kinds],
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
    """Puts rows together: the safe half first, then the unsafe half if it is read, so that each encoder runs once for both.

    Attributes:
        preparation: gives the tokenizer.
        reference: where the frozen embeddings are looked up.
    """

    preparation: Preparation
    reference: ReferenceRows

    def __call__(self, items: Sequence[dict[str, Any]]) -> Batch:
        """Collate ``b`` rows of ``k`` kinds.

        Returns:
            the model's inputs, such as ``input_ids`` ``(kb, longest)`` and ``pixel_values`` ``(kb, 3, h, w)``, ``rows``
            ``(b,)``, and the reference's six, each ``(b, d)``.
        """
        halves = range(len(items[0]["captions"]))
        texts = [item["captions"][half] for half in halves for item in items]
        images = [item["images"][half] for half in halves for item in items]
        rows = [item["row"] for item in items]
        return {
            **self.preparation.prepare_texts(texts),
            **{name: torch.stack([image[name] for image in images]) for name in images[0]},
            "rows": torch.tensor(rows),
            **self.reference.look_up(rows),
        }


def split_reference(batch: Batch) -> tuple[Batch, Reference]:
    """Take a batch apart into what the model is given and what it is compared with."""
    found = {
        name.removeprefix(_REFERENCE_PREFIX): part for name, part in batch.items() if name.startswith(_REFERENCE_PREFIX)
    }
    own = Sides(**{side: found[side] for side in ("safe_text", "unsafe_text", "safe_image", "unsafe_image")})
    inputs = {name: part for name, part in batch.items() if name != "rows" and not name.startswith(_REFERENCE_PREFIX)}
    return inputs, Reference(own, found["target_text"], found["target_image"])


def split_sides(text: Tensor, image: Tensor, rows: int) -> Sides:
    """Cut embeddings into the four sides: the first ``rows`` are safe, the rest, as many or none, are unsafe."""
    return Sides(text[:rows], text[rows:], image[:rows], image[rows:])
