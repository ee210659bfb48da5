"""Embeddings of the frozen model, encoded once and memory-mapped.

Training compares with what the pre-trained model said. It is encoded before any adapter exists, so nothing trained can
leak into it, and no second copy of the model is needed while training. A store is keyed by model, preprocessing and data;
it appears under its name only when it is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from safer_clip.batches import name_column
from safer_clip.errors import ConfigError, SaferClipError
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.fingerprints import fingerprint_model, fingerprint_preprocessing, fingerprint_table
from safer_clip.models.similarity import COSINE
from safer_clip.objectives.base import SIDES, Side
from safer_clip.progress import show_progress

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.models.dual_encoder import DualEncoder

MANIFEST = "manifest.json"
Progress = Callable[[int], None]


class ReferenceStoreError(SaferClipError):
    """A store of reference embeddings is damaged or belongs to something else."""


@dataclass(frozen=True, slots=True)
class ReferenceKey:
    """What embeddings depend on: fingerprints of the model, of its preprocessing and of the data."""

    model: str
    preprocessing: str
    data: str

    @classmethod
    def of(cls, encoder: DualEncoder, table: Dataset) -> ReferenceKey:
        """Compute the key; reads all weights and captions, and the pictures that are held in memory."""
        return cls(fingerprint_model(encoder.model), fingerprint_preprocessing(encoder), fingerprint_table(table))

    @property
    def name(self) -> str:
        """The store's folder name."""
        return f"{self.model[:8]}-{self.preprocessing[:8]}-{self.data[:8]}"


def encode_table(encoder: DualEncoder, table: Dataset, batch_size: int = 256) -> QuadrupletEmbeddings:
    """Embed all sides of a table in memory: float32 ``(n, d)`` each, L2-normalised; ``(0, d)`` where it has no pictures."""
    sides = _embeddable(encoder, find_sides(table))
    parts = {side: list(_encode_side(encoder, table, side, batch_size)) for side in sides}
    found = _fill_sides({str(side): np.concatenate(rows) for side, rows in parts.items()})
    return replace(found, similarity=encoder.similarity)


def find_sides(table: Dataset) -> tuple[Side, ...]:
    """The sides that every row has; captions are always there.

    Raises:
        ConfigError: some rows have a picture of a side and some have not.
    """
    from datasets import Image

    found: list[Side] = ["safe_text", "unsafe_text"]
    problems = []
    for side in SIDES[2:]:
        cells = table.select_columns(side).cast_column(side, Image(decode=False)).with_format(None)[side]
        absent = sum(cell is None for cell in cells)
        if not absent:
            found.append(side)
        elif absent < len(table):
            problems.append(f"{absent} of {len(table)} rows have no {side}")
    if problems:
        raise ConfigError(f"{' and '.join(problems)}; a side is needed for all rows or for none, so leave those rows out")
    return tuple(found)


def find_absent(table: Dataset) -> tuple[Side, ...]:
    """The sides that no row has; raises as :func:`find_sides`."""
    present = find_sides(table)
    return tuple(side for side in SIDES if side not in present)


def _embeddable(encoder: DualEncoder, sides: Sequence[Side]) -> list[Side]:
    """Those of the sides that a model embeds: a half has one modality."""
    return [side for side in sides if side.endswith(encoder.modalities)]


def _fill_sides(found: Mapping[str, NDArray[np.float32]]) -> QuadrupletEmbeddings:
    nothing = np.zeros((0, next(iter(found.values())).shape[1]), np.float32)
    safe_text, unsafe_text, safe_image, unsafe_image = (found.get(side, nothing) for side in SIDES)
    return QuadrupletEmbeddings(safe_text, unsafe_text, safe_image, unsafe_image)


def load_reference(encoder: DualEncoder, table: Dataset, root: Path) -> QuadrupletEmbeddings:
    """Return the memory-mapped embeddings of the table under the frozen model, encoding them if there are none yet.

    Args:
        encoder: the pre-trained model, before it gets adapters.
        table: quadruplets; pictures of a side may be absent from all rows.
        root: folder of the stores.

    Raises:
        ReferenceStoreError: the store of this key is damaged.
        ConfigError: the model is already wrapped for training, or some rows lack pictures that others have.
    """
    _check_frozen(encoder)
    check_cosine(encoder, "training starts from")
    key = ReferenceKey.of(encoder, table)
    folder = root / key.name
    if not folder.exists():
        _write_store(encoder, table, key, folder)
    return open_store(folder, key, len(table))


def open_store(folder: Path, key: ReferenceKey, rows: int) -> QuadrupletEmbeddings:
    """Memory-map a store after checking that it is whole and belongs to the key.

    Raises:
        ReferenceStoreError: says what does not fit and that removing the folder makes it anew.
    """
    advice = f"; remove {folder} and it is made anew"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ReferenceStoreError(f"{folder} has no readable {MANIFEST}{advice}") from error
    if manifest.get("key") != asdict(key):
        raise ReferenceStoreError(f"{folder} was made from another model, preprocessing or data{advice}")
    arrays: dict[str, NDArray[np.float32]] = {}
    for side in manifest["bytes"]:
        path = folder / f"{side}.npy"
        if not path.is_file() or path.stat().st_size != manifest["bytes"][side]:
            raise ReferenceStoreError(f"{path} is missing or cut short{advice}")
        arrays[side] = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(arrays[side]) != rows:
            raise ReferenceStoreError(f"{path} has {len(arrays[side])} rows for {rows} quadruplets{advice}")
    return _fill_sides(arrays)


def check_cosine(encoder: DualEncoder, purpose: str) -> None:
    """Refuse a model that compares otherwise, where targets and distances are cosines.

    Raises:
        ConfigError: it does; ``purpose`` begins the sentence.
    """
    if encoder.similarity != COSINE:
        raise ConfigError(f"{purpose} a model that compares by cosine, and this one has another similarity")


def _check_frozen(encoder: DualEncoder) -> None:
    if any("lora_" in name for name, _ in encoder.model.named_parameters()):
        raise ConfigError("the reference has to be encoded before adapters are added: peft changes the model in place")


def _write_store(encoder: DualEncoder, table: Dataset, key: ReferenceKey, folder: Path) -> None:
    present = _embeddable(encoder, find_sides(table))
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid4().hex[:8]}"
    draft.mkdir()  # with the rights that the user's other folders have, unlike a temporary one
    try:
        with show_progress("Encoding", len(present) * len(table)) as advance:
            sizes = {side: _write_side(encoder, table, side, draft / f"{side}.npy", advance) for side in present}
        manifest = {"key": asdict(key), "rows": len(table), "bytes": sizes}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _put_in_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put_in_place(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process made the same store meanwhile
            raise


def _write_side(encoder: DualEncoder, table: Dataset, side: str, path: Path, progress: Progress) -> int:
    array: NDArray[np.float32] | None = None
    start = 0
    for rows in _encode_side(encoder, table, side, 256):
        if array is None:
            shape = (len(table), rows.shape[1])
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        array[start : start + len(rows)] = rows
        start += len(rows)
        progress(len(rows))
    if isinstance(array, np.memmap):
        array.flush()
    return path.stat().st_size


def _encode_side(encoder: DualEncoder, table: Dataset, side: str, batch_size: int) -> Iterator[NDArray[np.float32]]:
    column = name_column(side)
    cells = table.select_columns(column)
    for start in range(0, len(cells), batch_size):
        values: list[Any] = cells[start : start + batch_size][column]
        if side.endswith("text"):
            yield encoder.encode_texts(values)
        else:
            yield encoder.encode_images([image.convert("RGB") for image in values])
