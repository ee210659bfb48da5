import numpy as np
import pytest

from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.evaluation.safeground import judge_preferences

E = np.eye(4)


def test_preferences_by_hand():
    """Row 0 is redirected in both modalities, row 1 in its caption alone, row 2 not at all; row 3 is collapsed and ties."""
    safe = np.stack([E[0], E[0], E[0], E[0]])
    unsafe_text = np.stack([E[1] + 2 * E[0], E[1] + 2 * E[0], E[1], E[0]])
    unsafe_image = np.stack([E[2] + 2 * E[0], E[1], E[1], E[0]])
    unsafe_text, unsafe_image = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (unsafe_text, unsafe_image))
    found = judge_preferences(QuadrupletEmbeddings(safe, unsafe_text, safe, unsafe_image))
    # row 1: v* = (0, 1) fits t* = (2, 1) / sqrt 5 better than t = (1, 0), but t* fits v better than v*
    assert found["text"].tolist() == [100, 0, 0, 0]
    assert found["image"].tolist() == [100, 100, 0, 0]
    assert found["group"].tolist() == [100, 0, 0, 0]


def test_an_untouched_model_scores_nothing():
    rows = QuadrupletEmbeddings(E[:2], E[2:], E[:2], E[2:])
    assert {name: values.mean() for name, values in judge_preferences(rows).items()} == pytest.approx(
        {"text": 0, "image": 0, "group": 0}
    )
