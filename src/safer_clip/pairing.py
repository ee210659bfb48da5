"""Nearest-safe pairing: which safe caption each unsafe one is redirected to (SafeR-CLIP, arXiv 2511.16743, "proximity")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safer_clip.errors import ConfigError

Floats = NDArray[np.floating]

CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Pairing:
    """The safe target of every unsafe item, and how far it is.

    Attributes:
        targets: row of the safe item that each unsafe one is redirected to: int64 ``(n,)``.
        cosines: their caption similarity: float32 ``(n,)``; the larger, the easier.
    """

    targets: NDArray[np.int64]
    cosines: NDArray[np.float32]


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
    _check(unsafe, safe, chunk)
    queries, everything = _normalise(unsafe, "unsafe"), _normalise(safe, "safe")
    kept = _first_of_equals(everything)
    bank = everything[kept]
    indices = np.zeros(len(queries), dtype=np.int64)
    cosines = np.full(len(queries), -np.inf, dtype=np.float32)
    for first in range(0, len(queries), chunk):
        rows = slice(first, first + chunk)
        for offset in range(0, len(bank), chunk):
            similarity = queries[rows] @ bank[offset : offset + chunk].T
            best = similarity.argmax(axis=1)
            value = similarity[np.arange(len(best)), best]
            better = value > cosines[rows]  # strictly, so that an equal later block does not displace an earlier one
            indices[rows][better] = best[better] + offset
            cosines[rows][better] = value[better]
    return kept[indices], cosines


def pair_nearest(unsafe: Floats, safe: Floats) -> Pairing:
    """Pair every unsafe caption with its nearest safe one of the whole set; see :func:`nearest_safe`."""
    return Pairing(*nearest_safe(unsafe, safe))


def pair_own(unsafe: Floats, safe: Floats) -> Pairing:
    """Pair row ``i`` with row ``i``, as Safe-CLIP does: ``(n, d)`` both."""
    if unsafe.ndim != 2 or unsafe.shape != safe.shape:
        raise ConfigError(f"own pairs need equally many rows, got {unsafe.shape} unsafe and {safe.shape} safe")
    cosines = (_normalise(unsafe, "unsafe") * _normalise(safe, "safe")).sum(axis=1)
    return Pairing(np.arange(len(unsafe), dtype=np.int64), cosines.astype(np.float32))


def _check(unsafe: Floats, safe: Floats, chunk: int) -> None:
    if unsafe.ndim != 2 or safe.ndim != 2 or unsafe.shape[1] != safe.shape[1]:
        raise ConfigError(f"expected arrays (n, d) and (m, d) of equal d, got {unsafe.shape} and {safe.shape}")
    if not len(safe):
        raise ConfigError("there is no safe row to redirect to")
    if chunk < 1:
        raise ConfigError(f"chunk must be at least 1, got {chunk}")


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
