"""Figures with intervals, from embeddings: the typed counterparts of :mod:`~safer_clip.evaluation.retrieval`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safer_clip.evaluation.bootstrap import bootstrap_means, interval
from safer_clip.evaluation.geometry import overlap_neighbours, spread_ratio
from safer_clip.evaluation.retrieval import Floats, QuadrupletEmbeddings, judge_queries
from safer_clip.evaluation.safeground import judge_preferences
from safer_clip.results import Direction, Geometry, RetrievalScores, SafeGround

Scores = dict[Direction, RetrievalScores]


def score_mixed(embeddings: QuadrupletEmbeddings, seed: int = 0) -> Scores:
    """All four directions over mixed pools, safe and unsafe items together."""
    return score_against(embeddings, embeddings, seed)


def score_against(queries: QuadrupletEmbeddings, gallery: QuadrupletEmbeddings, seed: int = 0) -> Scores:
    """All four directions over mixed pools with the queries of one model and the gallery of another."""
    images, texts = (gallery.safe_image, gallery.unsafe_image), (gallery.safe_text, gallery.unsafe_text)
    return {
        "T->V": score_direction(queries.safe_text, *images, seed=seed),
        "V->T": score_direction(queries.safe_image, *texts, seed=seed),
        "T*->V": score_direction(queries.unsafe_text, *images, seed=seed),
        "V*->T": score_direction(queries.unsafe_image, *texts, seed=seed),
    }


def score_plain(embeddings: QuadrupletEmbeddings, seed: int = 0) -> Scores:
    """Plain pools, as Safe-CLIP's code ranks them: safe items alone, for safe and for unsafe queries."""
    return {
        "T->V": score_direction(embeddings.safe_text, embeddings.safe_image, None, seed=seed),
        "V->T": score_direction(embeddings.safe_image, embeddings.safe_text, None, seed=seed),
        "T*->V": score_direction(embeddings.unsafe_text, embeddings.safe_image, None, seed=seed),
        "V*->T": score_direction(embeddings.unsafe_image, embeddings.safe_text, None, seed=seed),
    }


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
    return Geometry(
        text_spread=spread_ratio(tuned.safe_text, base.safe_text),
        image_spread=spread_ratio(tuned.safe_image, base.safe_image),
        text_overlap=float(overlap_neighbours(tuned.safe_text, base.safe_text).mean()),
        image_overlap=float(overlap_neighbours(tuned.safe_image, base.safe_image).mean()),
    )


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
    sides = (embeddings.safe_text, embeddings.unsafe_text, embeddings.safe_image, embeddings.unsafe_image)
    return QuadrupletEmbeddings(*(side[draw.permutation(len(side))] for side in sides))


def collapse_sides(embeddings: QuadrupletEmbeddings) -> QuadrupletEmbeddings:
    """A control that must score nothing: every row the same."""
    sides = (embeddings.safe_text, embeddings.unsafe_text, embeddings.safe_image, embeddings.unsafe_image)
    first = embeddings.safe_text[:1]
    return QuadrupletEmbeddings(*(np.repeat(first, len(side), axis=0) for side in sides))
