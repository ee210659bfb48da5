"""How much of the pre-trained geometry of benign items is left: spread and neighbourhoods (SAGE, ECCV 2026).

Coarse utility figures hide a *collapse*: a tuned encoder may still rank a benchmark while benign items crowd together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safer_clip.evaluation.retrieval import Floats

NEIGHBOURS = 10


def measure_spread(rows: Floats) -> float:
    """Mean squared distance of L2-normalised rows ``(n, d)`` from their mean: 0 when all are equal, at most 1."""
    centre = rows.mean(axis=0, dtype=np.float64)
    return float(((rows - centre) ** 2).sum(axis=1).mean())


def spread_ratio(tuned: Floats, base: Floats) -> float:
    """Spread after tuning over spread before; 1 is unchanged, 0 a collapse."""
    before = measure_spread(base)
    return measure_spread(tuned) / before if before else float(measure_spread(tuned) == 0)


def overlap_neighbours(tuned: Floats, base: Floats, count: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Jaccard overlap of each row's nearest other rows before and after: ``(n,)``, 1 is unchanged.

    Args:
        tuned: ``(n, d)``, L2-normalised.
        base: ``(n, d')``, the same items before.
        count: neighbours looked at; fewer where there are not so many rows.
    """
    count = min(count, len(base) - 1)
    if count < 1:
        return np.ones(len(base))
    after, before = _nearest_others(tuned, count), _nearest_others(base, count)
    shared = np.array([len(np.intersect1d(*pair, assume_unique=True)) for pair in zip(after, before, strict=True)])
    overlap: NDArray[np.float64] = shared / (2 * count - shared)
    return overlap


def _nearest_others(rows: Floats, count: int, chunk: int = 1024) -> NDArray[np.int64]:
    parts = []
    for start in range(0, len(rows), chunk):
        block = rows[start : start + chunk] @ rows.T
        block[np.arange(len(block)), np.arange(start, start + len(block))] = -np.inf
        parts.append(np.argsort(-block, axis=1, kind="stable")[:, :count])
    return np.concatenate(parts).astype(np.int64)
