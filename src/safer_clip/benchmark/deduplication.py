"""Captions that say the same as an earlier one: exactly, once case and punctuation are gone, or nearly, by embeddings.

The comparison is a chunked matrix product: 100,000 captions of 512 dimensions are 5 teraflops, a minute or two on two
cores, so no approximate index is needed at the sizes that a benchmark starts from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]
CHUNK = 2048


def normalise_caption(text: str) -> str:
    """A caption without case, accents of presentation, punctuation and extra spaces."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w\s]+|_", " ", plain).split())


def find_exact_duplicates(captions: Sequence[str]) -> NDArray[np.bool_]:
    """Which captions repeat an earlier one after normalisation: bool ``(n,)``."""
    seen: set[str] = set()
    repeats = []
    for caption in map(normalise_caption, captions):
        repeats.append(caption in seen)
        seen.add(caption)
    return np.array(repeats, bool)


def find_near_duplicates(embeddings: Embeddings, threshold: float, chunk: int = CHUNK) -> NDArray[np.bool_]:
    """Which rows are at least as similar as the threshold to an earlier row that is kept.

    Args:
        embeddings: ``(n, d)``, L2-normalised.
        threshold: of the cosine.
        chunk: rows compared at a time.

    Returns:
        bool ``(n,)``; the rows that are false are pairwise less similar than the threshold.
    """
    count = len(embeddings)
    dropped = np.zeros(count, bool)
    for start in range(0, count, chunk):
        part = embeddings[start : start + chunk]
        for before in range(0, start, chunk):
            kept = ~dropped[before : before + chunk]
            near = part @ embeddings[before : before + chunk][kept].T >= threshold
            dropped[start : start + chunk] |= near.any(axis=1)
        _compare_within(part, threshold, dropped[start : start + chunk])
    return dropped


def find_nearest(embeddings: Embeddings, others: Embeddings, chunk: int = CHUNK) -> NDArray[np.float32]:
    """The highest cosine of each row with any row of another set: float32 ``(n,)``; -1 if that set is empty."""
    highest = np.full(len(embeddings), -1, np.float32)
    for start in range(0, len(others), chunk):
        found = (embeddings @ others[start : start + chunk].T).max(axis=1)
        np.maximum(highest, found, out=highest)
    return highest


def _compare_within(part: Embeddings, threshold: float, dropped: NDArray[np.bool_]) -> None:
    """Mark rows of one chunk that are near an earlier kept row of it; ``dropped`` is changed in place."""
    near = part @ part.T >= threshold
    for row in range(1, len(part)):
        if not dropped[row]:
            dropped[row] = bool((near[row, :row] & ~dropped[:row]).any())
