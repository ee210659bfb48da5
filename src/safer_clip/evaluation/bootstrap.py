"""Bootstrap intervals: how far a figure would move with other queries of the same kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

RESAMPLES = 1000
LEVEL = 0.95


def bootstrap_means(values: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Means of resampled rows.

    Args:
        values: one row a query: ``(n, k)``; the ``k`` figures of a query stay together.
        seed: same seed, same resamples, so that two models are compared on the same queries.
        resamples: how many times to draw ``n`` rows with replacement.

    Returns:
        ``(resamples, k)``.
    """
    n = len(values)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    means: Floats = counts @ np.asarray(values, dtype=np.float64) / n
    return means


def interval(means: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resampled means ``(resamples,)``."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
