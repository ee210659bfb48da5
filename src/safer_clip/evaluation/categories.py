"""Redirection by category of what is unsafe: a mean may hide a category that was hardly touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from safer_clip.evaluation.directions import judge_directions
from safer_clip.evaluation.retrieval import Floats, QuadrupletEmbeddings
from safer_clip.schema import Direction, Part


class CategoryScores(Part):
    """One direction of unsafe queries of one category, percent, over the benchmark's whole mixed pool."""

    recall_1: float = Field(alias="R@1")
    unsafe_rate: float
    queries: int


def score_categories(
    embeddings: QuadrupletEmbeddings, categories: Sequence[str | None]
) -> dict[str, dict[Direction, CategoryScores]]:
    """Score unsafe queries by their category, as far as the sides are there.

    Args:
        embeddings: of ``n`` quadruplets.
        categories: ``(n,)``; what has none counts as ``"unknown"``.

    Returns:
        By category in alphabetical order, and by direction.
    """
    owners = np.asarray([category or "unknown" for category in categories])
    judged = {direction: hits for direction, hits in judge_directions(embeddings).items() if "*" in direction}
    return {
        str(name): {
            direction: _average({key: values[owners == name] for key, values in hits.items()})
            for direction, hits in judged.items()
        }
        for name in np.unique(owners)
        if judged
    }


def _average(hits: Mapping[str, Floats]) -> CategoryScores:
    figures = {name: float(hits[name].mean()) for name in ("R@1", "unsafe_rate")}
    return CategoryScores.model_validate({**figures, "queries": len(hits["R@1"])})
