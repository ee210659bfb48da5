"""Zero-shot classification on embeddings, with prompt ensembles (CLIP, arXiv 2103.00020, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def average_prompts(embeddings: Floats, owners: Sequence[int]) -> Floats:
    """One classifier row a class: the normalised mean of its prompts' embeddings.

    Args:
        embeddings: L2-normalised prompt embeddings ``(p, d)``.
        owners: class index of each prompt, ``0 .. classes - 1``, every class at least once.

    Returns:
        ``(classes, d)``, L2-normalised.
    """
    sums = np.zeros((max(owners) + 1, embeddings.shape[1]), dtype=embeddings.dtype)
    np.add.at(sums, np.asarray(owners), embeddings)
    classifier: Floats = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return classifier


def classify(images: Floats, classifier: Floats) -> NDArray[np.int64]:
    """Most similar class of each image: ``(n,)``."""
    return np.asarray((images @ classifier.T).argmax(axis=1), dtype=np.int64)


def accuracy(predicted: NDArray[np.int64], labels: Sequence[int]) -> float:
    """Share of right answers, in percent."""
    return 100.0 * float((predicted == np.asarray(labels)).mean())
