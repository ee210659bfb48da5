"""Pairing: which safe item each unsafe one is redirected to.

SafeR-CLIP takes the nearest safe caption (arXiv 2511.16743, "proximity"), Safe-CLIP the own quadruplet's (arXiv 2311.16254);
the others of :data:`PAIRINGS` are for ablations, and of no paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safer_clip.errors import ConfigError

if TYPE_CHECKING:
    from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
    from safer_clip.methods import PairingName

Floats = NDArray[np.floating]

CHUNK = 4096
NEIGHBOURS = 10
"""How many safe captions a mixture is of."""
TEMPERATURE = 0.05
"""Of a mixture's weights: a caption that is 0.05 nearer in cosine weighs e times as much."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """The safe items that each unsafe one is redirected to the middle of, nearest first.

    Attributes:
        rows: int64 ``(n, k)``.
        weights: float32 ``(n, k)``; each row's sum is 1.
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pairing:
    """The safe target of every unsafe item, and how far it is.

    Attributes:
        targets: row of the safe item that each unsafe one is redirected to: int64 ``(n,)``; of a mixture, the nearest.
        cosines: their caption similarity: float32 ``(n,)``; the larger, the easier.
        mixture: if it is redirected to several at once.
    """

    targets: NDArray[np.int64]
    cosines: NDArray[np.float32]
    mixture: Mixture | None = None


def nearest_safe(unsafe: Floats, safe: Floats, chunk: int = CHUNK) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the most similar safe row of every unsafe row.

    Exact, by blocks of both sides: similarities take ``chunk * chunk`` floats, and a few copies of the rows are made.

    Args:
        unsafe: ``(n, d)``; rows need not be normalised.
        safe: ``(m, d)``, at least one row.
        chunk: rows of either side compared at a time.

    Returns:
        ``(indices, cosines)``: int64 ``(n,)`` and float32 ``(n,)``. Ties between rows that are equal once
        normalised go to the lowest index.

    Raises:
        ConfigError: shapes do not fit, ``safe`` is empty, or a row is zero or not finite, which has no direction.
    """
    indices, cosines = nearest_several(unsafe, safe, 1, chunk)
    return indices[:, 0], cosines[:, 0]


def nearest_several(
    unsafe: Floats, safe: Floats, count: int, chunk: int = CHUNK
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the most similar safe rows of every unsafe row, nearest first; as exact and as large as :func:`nearest_safe`.

    Of rows that are equal once normalised only the first is found, so that the others do not fill the places.

    Args:
        unsafe: ``(n, d)``; rows need not be normalised.
        safe: ``(m, d)``, at least one row.
        count: how many; fewer if there are not as many different ones.
        chunk: rows of either side compared at a time.

    Returns:
        ``(indices, cosines)``: int64 and float32, ``(n, k)`` both. Ties go to the lowest index.

    Raises:
        ConfigError: as :func:`nearest_safe`.
    """
    _check(unsafe, safe, chunk)
    queries, everything = _normalise(unsafe, "unsafe"), _normalise(safe, "safe")
    kept = _first_of_equals(everything)
    bank = everything[kept]
    shape = len(queries), min(count, len(bank))
    indices = np.zeros(shape, dtype=np.int64)
    cosines = np.full(shape, -np.inf, dtype=np.float32)
    for first in range(0, len(queries), chunk):
        rows = slice(first, first + chunk)
        for offset in range(0, len(bank), chunk):
            best, value = _take_largest(queries[rows] @ bank[offset : offset + chunk].T, shape[1])
            # stable, and earlier blocks come first, so that an equal later row does not displace an earlier one
            both, columns = np.hstack([cosines[rows], value]), np.hstack([indices[rows], best + offset])
            order = np.argsort(-both, axis=1, kind="stable")[:, : shape[1]]
            cosines[rows], indices[rows] = (np.take_along_axis(part, order, axis=1) for part in (both, columns))
    return kept[indices], cosines


def pair_nearest(unsafe: Floats, safe: Floats) -> Pairing:
    """Pair every unsafe caption with its nearest safe one of the whole set; see :func:`nearest_safe`."""
    return Pairing(*nearest_safe(unsafe, safe))


def pair_nearest_image(embedded: QuadrupletEmbeddings) -> Pairing:
    """Pair every unsafe image with its nearest safe one; ``cosines`` still are those of the captions of these rows."""
    _need_pictures(embedded, "nearest_image")
    targets, _ = nearest_safe(embedded.unsafe_image, embedded.safe_image)
    return Pairing(targets, _compare_captions(embedded, targets))


def pair_nearest_both(embedded: QuadrupletEmbeddings) -> Pairing:
    """Pair by the largest sum of caption cosine and image cosine; ``cosines`` are those of the captions alone."""
    _need_pictures(embedded, "nearest_both")
    # side by side, unit rows have that sum for their product; it takes twice the memory of one modality
    unsafe, safe = (
        np.hstack([_normalise(getattr(embedded, f"{side}_{part}"), f"{side} {part}") for part in ("text", "image")])
        for side in ("unsafe", "safe")
    )
    targets, _ = nearest_safe(unsafe, safe)
    return Pairing(targets, _compare_captions(embedded, targets))


def pair_mixture(unsafe: Floats, safe: Floats) -> Pairing:
    """Pair every unsafe caption with its nearest safe ones at once, weighed by ``softmax(cosine / TEMPERATURE)``.

    Args:
        unsafe: ``(n, d)``.
        safe: ``(m, d)``; its :data:`NEIGHBOURS` nearest different rows are mixed, all of them if there are fewer.
    """
    rows, cosines = nearest_several(unsafe, safe, NEIGHBOURS)
    weights = np.exp((cosines - cosines[:, :1]) / TEMPERATURE)
    return Pairing(rows[:, 0], cosines[:, 0], Mixture(rows, weights / weights.sum(axis=1, keepdims=True)))


def mix_rows(store: Floats, mixture: Mixture) -> NDArray[np.float32]:
    """Weighted means of a store's rows, normalised: ``(m, d)`` by ``(b, k)`` gives ``(b, d)``."""
    means = np.einsum("bk,bkd->bd", mixture.weights, np.asarray(store[mixture.rows], np.float32))
    return _normalise(means, "mixed")


def pair_own(unsafe: Floats, safe: Floats) -> Pairing:
    """Pair row ``i`` with row ``i``, as Safe-CLIP does: ``(n, d)`` both."""
    if unsafe.ndim != 2 or unsafe.shape != safe.shape:
        raise ConfigError(f"own pairs need equally many rows, got {unsafe.shape} unsafe and {safe.shape} safe")
    cosines = (_normalise(unsafe, "unsafe") * _normalise(safe, "safe")).sum(axis=1)
    return Pairing(np.arange(len(unsafe), dtype=np.int64), cosines.astype(np.float32))


PAIRINGS: dict[PairingName, Callable[[QuadrupletEmbeddings], Pairing]] = {
    "nearest": lambda embedded: pair_nearest(embedded.unsafe_text, embedded.safe_text),
    "own": lambda embedded: pair_own(embedded.unsafe_text, embedded.safe_text),
    "nearest_image": pair_nearest_image,
    "nearest_both": pair_nearest_both,
    "mixture": lambda embedded: pair_mixture(embedded.unsafe_text, embedded.safe_text),
}
"""Every pairing by its name in the settings: a function of the frozen embeddings of a table that has captions."""


def _check(unsafe: Floats, safe: Floats, chunk: int) -> None:
    if unsafe.ndim != 2 or safe.ndim != 2 or unsafe.shape[1] != safe.shape[1]:
        raise ConfigError(f"expected arrays (n, d) and (m, d) of equal d, got {unsafe.shape} and {safe.shape}")
    if not len(safe):
        raise ConfigError("there is no safe row to redirect to")
    if chunk < 1:
        raise ConfigError(f"chunk must be at least 1, got {chunk}")


def _need_pictures(embedded: QuadrupletEmbeddings, name: str) -> None:
    if not embedded.has("unsafe_image", "safe_image"):
        raise ConfigError(
            f"pairing {name!r} compares pictures, which the data or the model lack; use 'nearest', 'own' or 'mixture'"
        )


def _compare_captions(embedded: QuadrupletEmbeddings, targets: NDArray[np.int64]) -> NDArray[np.float32]:
    unsafe, safe = _normalise(embedded.unsafe_text, "unsafe text"), _normalise(embedded.safe_text, "safe text")
    cosines = np.empty(len(targets), dtype=np.float32)
    for first in range(0, len(targets), CHUNK):
        rows = slice(first, first + CHUNK)
        cosines[rows] = (unsafe[rows] * safe[targets[rows]]).sum(axis=1)
    return cosines


def _take_largest(similarity: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns and values of each row's largest, in falling order; ``similarity`` is used up."""
    lines = np.arange(len(similarity))
    columns, values = [], []
    for _ in range(min(count, similarity.shape[1])):
        best = similarity.argmax(axis=1)  # the first of equals, unlike a partition
        columns.append(best)
        values.append(similarity[lines, best])
        similarity[lines, best] = -np.inf
    return np.stack(columns, axis=1), np.stack(values, axis=1)


def _first_of_equals(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    # products of equal rows differ in the last digit with their place in a block, which would decide a tie by chance
    width = np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))
    whole = np.ascontiguousarray(rows + np.float32(0)).view(width)[:, 0]  # + 0 makes -0 and 0 the same bytes
    return np.sort(np.unique(whole, return_index=True)[1]).astype(np.int64)


def _normalise(rows: Floats, side: str) -> NDArray[np.float32]:
    # float32 throughout: float16 rows of a cache would tie, and lose the order of near neighbours
    array = np.asarray(rows, dtype=np.float32)
    norms = np.linalg.norm(array, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(bad):
        shown = ", ".join(map(str, bad[:5]))
        raise ConfigError(f"{len(bad)} {side} embedding(s) are zero or not finite, the first at row {shown}")
    unit: NDArray[np.float32] = array / norms
    return unit
