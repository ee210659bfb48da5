"""A judge of captions: a text classifier in the layout of `transformers`, such as one for toxicity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safer_clip.errors import ConfigError

BATCH = 64


class TextClassifierJudge:
    """Scores captions by the probability of one label.

    Args:
        folder: of the classifier; weights are read from safetensors only.
        label: the label that means unsafe, as the model's configuration names it.
        threshold: of its probability.

    Raises:
        ConfigError: there is no such classifier, or it has no such label.
    """

    version: str

    def __init__(self, folder: Path, label: str, threshold: float = 0.5) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, local_files_only=True)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder} is no text classifier with safetensors: {error}") from error
        labels = {str(name): int(index) for index, name in model.config.id2label.items()}
        if label not in labels:
            raise ConfigError(f"{folder} has no label {label!r}; it has {', '.join(labels)}")
        self.name, self.version, self.threshold = f"classifier {folder.name}", label, threshold
        self._model, self._label = model.train(False), labels[label]
        self._multi = model.config.problem_type == "multi_label_classification"

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`~safer_clip.benchmark.judging.TextJudge`."""
        parts = [self._score(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        return np.concatenate(parts)

    def _score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            inputs = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
            logits = self._model(**inputs).logits.float()
        shares = logits.sigmoid() if self._multi else logits.softmax(dim=-1)
        found: NDArray[np.float32] = shares[:, self._label].cpu().numpy()
        return found
