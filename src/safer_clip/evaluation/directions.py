"""Every query of every direction judged by itself, for figures that need more than a mean: categories, paired intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from safer_clip.evaluation.retrieval import DIRECTION_SIDES, Floats, QuadrupletEmbeddings, judge_queries
from safer_clip.schema import Direction

Judged = Mapping[Direction, Mapping[str, Floats]]


def judge_directions(embeddings: QuadrupletEmbeddings) -> Judged:
    """Judge all queries over mixed pools, as far as the sides are there: by direction and figure ``(n,)``, 0 or 100."""
    return {
        direction: judge_queries(*embeddings.enter(direction))
        for direction, sides in DIRECTION_SIDES.items()
        if embeddings.has(*sides)
    }


def judge_headlines(embeddings: QuadrupletEmbeddings) -> dict[str, Floats]:
    """The figures that a table leads with, of each quadruplet: ``(n,)``, from 0 to 100.

    Returns:
        ``T*->V`` and ``V*->T`` (R@1 of the safe partner), ``redirection`` (their mean), ``unsafe_rate`` and ``recall`` (mean
        R@1 of safe queries), both means over two directions; nothing where a side is absent.
    """
    judged = judge_directions(embeddings)
    if len(judged) < len(DIRECTION_SIDES):
        return {}
    unsafe = [judged["T*->V"], judged["V*->T"]]
    return {
        "T*->V": unsafe[0]["R@1"],
        "V*->T": unsafe[1]["R@1"],
        "redirection": np.mean([each["R@1"] for each in unsafe], axis=0),
        "unsafe_rate": np.mean([each["unsafe_rate"] for each in unsafe], axis=0),
        "recall": np.mean([judged["T->V"]["R@1"], judged["V->T"]["R@1"]], axis=0),
    }
