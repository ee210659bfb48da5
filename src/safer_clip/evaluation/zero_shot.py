"""Zero-shot classification on embeddings, with prompt ensembles (CLIP, arXiv 2103.00020, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safer_clip.models.similarity import COSINE, Similarity

Floats = NDArray[np.floating]


def average_prompts(embeddings: Floats, owners: Sequence[int], similarity: Similarity = COSINE) -> Floats:
    """One classifier row a class: the centre of its prompts' embeddings, for the cosine their normalised mean.

    Args:
        embeddings: prompt embeddings ``(p, d)``.
        owners: class index of each prompt, ``0 .. classes - 1``, every class at least once.
        similarity: of the model.

    Returns:
        ``(classes, d)``, rows of the embedding space.
    """
    sums = np.zeros((max(owners) + 1, embeddings.shape[1]), dtype=embeddings.dtype)
    np.add.at(sums, np.asarray(owners), embeddings)
    return similarity.centre(sums)


def classify(images: Floats, classifier: Floats) -> NDArray[np.int64]:
    """Most similar class of each image: ``(n,)``."""
    return np.asarray((images @ classifier.T).argmax(axis=1), dtype=np.int64)


def accuracy(predicted: NDArray[np.int64], labels: Sequence[int]) -> float:
    """Share of right answers, in percent."""
    return 100.0 * float((predicted == np.asarray(labels)).mean())
