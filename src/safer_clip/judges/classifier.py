"""Judges that are classifiers in the layout of ``transformers``, of texts or of pictures, from safetensors only.

Which labels count as unsafe is said by ``manifest.json`` in the classifier's folder: ``unsafe_labels``, and optionally
``name``, ``threshold`` (0.5) and ``multi_label``. Without a manifest it is told from names such as *toxic* or *nsfw*
(:data:`UNSAFE_WORDS`); the judge's version names the labels that were chosen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safer_clip.errors import ConfigError, list_fields
from safer_clip.fingerprints import fingerprint_model
from safer_clip.models.loading import load_preparation, load_whole, pick_device
from safer_clip.models.sources import locate_model

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MANIFEST_FILE = "manifest.json"
_ABUSE = ("toxic", "toxicity", "hate", "hateful", "offensive", "obscene", "insult", "threat", "harassment", "harmful")
_MATTERS = ("nsfw", "unsafe", "violence", "violent", "sexual", "explicit", "porn")
UNSAFE_WORDS = frozenset((*_ABUSE, *_MATTERS))
NEGATIONS = frozenset(("not", "non", "no"))
_DIGITS, _ABSURD = 12, 10**6


class ClassifierManifest(BaseModel):
    """What ``manifest.json`` may say.

    Attributes:
        unsafe_labels: names of the labels that count.
        name: of the judge in results; the folder's by default.
        multi_label: labels are independent of each other; by default what the model's configuration says.
        threshold: of the score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unsafe_labels: tuple[str, ...] = Field(min_length=1)
    name: str | None = None
    multi_label: bool | None = None
    threshold: float = Field(default=0.5, gt=0, le=1)


class Classifier:
    """What classifiers of texts and of pictures have in common.

    The score is the largest probability of the unsafe labels where labels are independent (sigmoid), and the sum of their
    probabilities where they exclude each other (softmax).

    Args:
        kind: class of ``transformers``.
        model: folder, or name on the hub.

    Raises:
        ConfigError: the folder holds no such classifier, or nothing tells which labels are unsafe; lists the labels.
    """

    def __init__(self, kind: Any, model: str) -> None:
        self.folder = locate_model(model)
        self.model = load_whole(kind, self.folder).float().to(pick_device())
        labels: Mapping[int, str] = self.model.config.id2label
        manifest = read_manifest(self.folder, list(labels.values()))
        self.unsafe = [index for index, label in labels.items() if label in manifest.unsafe_labels]
        told = self.model.config.problem_type == "multi_label_classification" or len(labels) == 1
        self.multi_label = told if manifest.multi_label is None else manifest.multi_label
        if not self.multi_label and len(self.unsafe) == len(labels):
            raise ConfigError(f"{self.folder} has no safe label ({', '.join(labels.values())}), and they exclude each other")
        self.name, self.threshold = manifest.name or Path(model).name, manifest.threshold
        self.version = f"{fingerprint_model(self.model)[:_DIGITS]} ({', '.join(labels[index] for index in self.unsafe)})"

    def rate(self, inputs: Mapping[str, Tensor]) -> NDArray[np.float32]:
        """Scores of a prepared batch: float32 ``(n,)``."""
        import torch

        with torch.inference_mode():
            logits = self.model(**{name: part.to(self.model.device) for name, part in inputs.items()}).logits
        if self.multi_label:
            scores = logits.sigmoid()[:, self.unsafe].amax(dim=1)
        else:
            scores = logits.softmax(dim=1)[:, self.unsafe].sum(dim=1)
        found: NDArray[np.float32] = scores.clamp(0, 1).cpu().numpy()
        return found


class TextClassifierJudge(Classifier):
    """A sequence classifier; texts longer than its context are cut there.

    Args:
        model: folder, or name on the hub.

    Raises:
        ConfigError: see :class:`Classifier`.
    """

    def __init__(self, model: str) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        super().__init__(AutoModelForSequenceClassification, model)
        self.tokenizer = load_preparation(AutoTokenizer, self.folder)
        self.batch_size = 16 if self.tokenizer.pad_token else 1
        told, positions = self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", 512)
        # a tokenizer that knows no limit says 1e30; RoBERTa keeps two positions for itself
        self.context = min(told, positions) if told < _ABSURD else positions - 2

    def score(self, items: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`~safer_clip.judges.base.Judge`."""
        options = {"padding": len(items) > 1, "truncation": True, "max_length": self.context, "return_tensors": "pt"}
        return self.rate(self.tokenizer(list(items), **options))


class ImageClassifierJudge(Classifier):
    """An image classifier, such as a vision transformer tuned to detect NSFW pictures.

    Args:
        model: folder, or name on the hub.

    Raises:
        ConfigError: see :class:`Classifier`.
    """

    batch_size = 16

    def __init__(self, model: str) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        super().__init__(AutoModelForImageClassification, model)
        self.processor = load_preparation(AutoImageProcessor, self.folder, backend="pil")

    def score(self, items: Sequence[Image]) -> NDArray[np.float32]:
        """See :class:`~safer_clip.judges.base.Judge`."""
        return self.rate(self.processor(images=[image.convert("RGB") for image in items], return_tensors="pt"))


def read_manifest(folder: Path, labels: Sequence[str]) -> ClassifierManifest:
    """What a folder's manifest says, or else what its labels' names do.

    Raises:
        ConfigError: there is no manifest and no telling name, or the manifest is wrong; lists the labels.
    """
    path, known = folder / MANIFEST_FILE, ", ".join(labels)
    if not path.is_file():
        chosen = tuple(label for label in labels if sounds_unsafe(label))
        if not chosen:
            advice = f'write {path} with {{"unsafe_labels": [...]}}'
            raise ConfigError(f"which labels of {folder} are unsafe? It has {known}; {advice}")
        return ClassifierManifest(unsafe_labels=chosen)
    try:
        manifest = ClassifierManifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        raise ConfigError("\n".join([f"{path} does not describe a classifier:", *list_fields(error)])) from error
    unknown = [label for label in manifest.unsafe_labels if label not in labels]
    if unknown:
        raise ConfigError(f"{path} names labels that the classifier lacks: {', '.join(unknown)}; it has {known}")
    return manifest


def sounds_unsafe(label: str) -> bool:
    """Whether a label's name says that it is unsafe: *severe_toxic* does, *non-toxic* does not."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label).lower()))
    return bool(words & UNSAFE_WORDS) and not words & NEGATIONS
