"""Paired bootstrap: how sure is the difference between two models that answered the same queries?

Two intervals that overlap say little, as a query that is hard for one model is hard for the other as well. Here queries are
drawn jointly for both models, so that what they share cancels (Koehn, "Statistical significance tests", EMNLP 2004).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from safer_clip.evaluation.bootstrap import bootstrap_means, interval
from safer_clip.evaluation.retrieval import Floats
from safer_clip.schema import Interval, Part


class Difference(Part):
    """A model's figure minus the other's, in points, with its paired interval."""

    value: float
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval[0] > 0 or self.interval[1] < 0


class PairedComparison(Part):
    """A model against another one, query by query.

    Attributes:
        against: the other one's key among the methods.
        retrieval: by benchmark and figure, see :func:`~safer_clip.evaluation.directions.judge_headlines`.
        zero_shot: of the mean over all sets.
    """

    against: str
    retrieval: dict[str, dict[str, Difference]]
    zero_shot: Difference | None = None


def compare_means(ours: Floats, theirs: Floats, seed: int = 0) -> Difference:
    """Difference of two means over the same queries.

    Args:
        ours: a figure of each query, ``(n,)``.
        theirs: likewise of the other model, in the same order.
        seed: of the bootstrap.

    Raises:
        ValueError: the two have not the same queries.
    """
    return compare_sets({"all": ours}, {"all": theirs}, seed)


def compare_sets(ours: Mapping[str, Floats], theirs: Mapping[str, Floats], seed: int = 0) -> Difference:
    """Difference of two means over sets of which each counts alike; queries are drawn within their set.

    Args:
        ours: a figure of each query, ``(n,)``, by set.
        theirs: likewise of the other model.
        seed: of the bootstrap.

    Raises:
        ValueError: the two have not the same sets, or a set not the same queries.
    """
    if list(ours) != list(theirs) or any(len(ours[name]) != len(theirs[name]) for name in ours):
        raise ValueError("a paired comparison needs the same queries of both models")
    gaps = [np.asarray(ours[name], np.float64) - np.asarray(theirs[name], np.float64) for name in ours]
    resampled = np.mean([bootstrap_means(gap[:, None], seed)[:, 0] for gap in gaps], axis=0)
    return Difference(value=float(np.mean([gap.mean() for gap in gaps])), interval=interval(resampled))
