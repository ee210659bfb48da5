import numpy as np
import pytest

from safer_clip.evaluation.zero_shot import accuracy, average_prompts, classify


def test_prompts_are_averaged_a_class_and_normalised():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    classifier = average_prompts(rows, [0, 0, 1])
    assert classifier[0] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)])
    assert classifier[1] == pytest.approx([0.0, 1.0])


def test_classify_and_accuracy_by_hand():
    predicted = classify(np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.1]]), np.eye(2))
    assert predicted.tolist() == [0, 1, 0]
    assert accuracy(predicted, [0, 1, 1]) == pytest.approx(200 / 3)
