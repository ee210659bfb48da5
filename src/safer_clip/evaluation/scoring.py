"""Figures with intervals, from embeddings: the typed counterparts of :mod:`~safer_clip.evaluation.retrieval`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safer_clip.evaluation.bootstrap import bootstrap_means, interval
from safer_clip.evaluation.geometry import overlap_neighbours, spread_ratio
from safer_clip.evaluation.retrieval import DIRECTION_SIDES, Floats, QuadrupletEmbeddings, judge_queries
from safer_clip.evaluation.safeground import judge_preferences
from safer_clip.results import Direction, Geometry, RetrievalScores, SafeGround

Scores = dict[Direction, RetrievalScores]


def score_mixed(embeddings: QuadrupletEmbeddings, seed: int = 0) -> Scores:
    """The directions over mixed pools, safe and unsafe items together; without pictures of a side, those that need none."""
    return score_against(embeddings, embeddings, seed)


def score_against(queries: QuadrupletEmbeddings, gallery: QuadrupletEmbeddings, seed: int = 0) -> Scores:
    """Likewise with the queries of one model and the gallery of another."""
    return {
        direction: score_direction(*queries.enter(direction, gallery), seed=seed)
        for direction, (asked, safe, unsafe) in DIRECTION_SIDES.items()
        if queries.has(asked) and gallery.has(safe, unsafe)
    }


def score_plain(embeddings: QuadrupletEmbeddings, seed: int = 0) -> Scores:
    """Plain pools, as Safe-CLIP's code ranks them: safe items alone, for safe and for unsafe queries."""
    return {
        direction: score_direction(*embeddings.enter(direction)[:2], None, seed=seed)
        for direction, (asked, safe, _) in DIRECTION_SIDES.items()
        if embeddings.has(asked, safe)
    }


def score_captions(tuned: QuadrupletEmbeddings, base: QuadrupletEmbeddings, seed: int = 0) -> RetrievalScores:
    """Where unsafe captions land among the base model's captions, safe and unsafe: what captions alone can show.

    The untouched model finds each unsafe caption itself; a redirected one finds a safe caption first.
    """
    queries = tuned.ask("unsafe_text", "text")
    return score_direction(queries, base.offer("safe_text"), base.offer("unsafe_text"), seed=seed)


def score_direction(queries: Floats, safe: Floats, unsafe: Floats | None, *, seed: int = 0) -> RetrievalScores:
    """One direction: query ``i`` wants ``safe[i]``.

    Args:
        queries: ``(n, d)``.
        safe: ``(n, d)``, the right answers and each other's distractors.
        unsafe: ``(m, d)`` further distractors, which make the pool a mixed one.
        seed: of the bootstrap over queries; the gallery stays as it is.
    """
    hits = judge_queries(queries, safe, unsafe)
    values = np.stack(list(hits.values()), axis=1)
    means = bootstrap_means(values, seed)
    figures = dict(zip(hits, values.mean(axis=0).tolist(), strict=True))
    intervals = {name: interval(means[:, column]) for column, name in enumerate(hits)}
    return RetrievalScores.model_validate({**figures, "queries": len(queries), "intervals": intervals})


def score_safeground(embeddings: QuadrupletEmbeddings, seed: int = 0) -> SafeGround:
    """Preferences within quadruplets."""
    hits = judge_preferences(embeddings)
    means = bootstrap_means(np.stack(list(hits.values()), axis=1), seed)
    figures = {name: float(values.mean()) for name, values in hits.items()}
    return SafeGround(**figures, intervals={name: interval(means[:, column]) for column, name in enumerate(hits)})


def compare_geometry(tuned: QuadrupletEmbeddings, base: QuadrupletEmbeddings) -> Geometry:
    """What tuning left of the geometry of safe items."""
    found: dict[str, float] = {}
    for modality in ("text", "image"):
        side = f"safe_{modality}"
        if tuned.has(side) and base.has(side):
            pair = (tuned.direct(side), base.direct(side))
            found[f"{modality}_spread"] = spread_ratio(*pair)
            found[f"{modality}_overlap"] = float(overlap_neighbours(*pair).mean())
    return Geometry(**found)


def score_zero_shot(
    answers: dict[str, tuple[NDArray[np.int64], Sequence[int]]], seed: int = 0
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Accuracy of each set and their mean, in percent, with intervals.

    Args:
        answers: by set, the predicted and the true classes.
        seed: of the bootstrap over pictures, set by set.

    Returns:
        ``(figures, intervals)``, both by set and with ``"mean"``.
    """
    figures, resampled = {}, {}
    for name, (predicted, labels) in answers.items():
        right = 100.0 * (predicted == np.asarray(labels))[:, None]
        figures[name] = float(right.mean())
        resampled[name] = bootstrap_means(right, seed)[:, 0]
    figures["mean"] = float(np.mean(list(figures.values())))
    resampled["mean"] = np.mean(list(resampled.values()), axis=0)
    return figures, {name: interval(means) for name, means in resampled.items()}


def shuffle_sides(embeddings: QuadrupletEmbeddings, seed: int = 0) -> QuadrupletEmbeddings:
    """A control that must score nothing: every side's rows in another order."""
    draw = np.random.default_rng(seed)
    return embeddings.replace_sides(lambda side: side[draw.permutation(len(side))])


def collapse_sides(embeddings: QuadrupletEmbeddings) -> QuadrupletEmbeddings:
    """A control that must score nothing: every row the same."""
    first = (embeddings.safe_text if embeddings.has("safe_text") else embeddings.safe_image)[:1]
    return embeddings.replace_sides(lambda side: np.repeat(first, len(side), axis=0))
