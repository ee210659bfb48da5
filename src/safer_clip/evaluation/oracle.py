"""Oracle redirection: what retrieval would be if unsafe items went exactly where they are sent, without any training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safer_clip.evaluation.retrieval import Floats, QuadrupletEmbeddings


def nearest_rows(queries: Floats, bank: Floats, count: int = 1, chunk: int = 1024) -> NDArray[np.int64]:
    """Indices of the ``count`` most similar rows of the bank, best first, ties to the lowest: ``(n, count)``."""
    blocks = [queries[start : start + chunk] @ bank.T for start in range(0, len(queries), chunk)]
    return np.concatenate([np.argsort(-block, axis=1, kind="stable")[:, :count] for block in blocks]).astype(np.int64)


def redirect_unsafe(benchmark: QuadrupletEmbeddings, training: QuadrupletEmbeddings, count: int) -> QuadrupletEmbeddings:
    """Replace a benchmark's unsafe embeddings by their targets.

    An unsafe caption takes the normalised mean of its ``count`` nearest safe training captions, an unsafe image that of its
    ``count`` nearest safe training images.
    """
    return QuadrupletEmbeddings(
        safe_text=benchmark.safe_text,
        unsafe_text=_redirect(benchmark.unsafe_text, training.safe_text, count),
        safe_image=benchmark.safe_image,
        unsafe_image=_redirect(benchmark.unsafe_image, training.safe_image, count),
    )


def _redirect(queries: Floats, bank: Floats, count: int) -> Floats:
    moved = bank[nearest_rows(queries, bank, count)].mean(axis=1)
    result: Floats = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return result
