"""A CLIP-like model together with its preprocessing and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from safer_clip.errors import ConfigError
from safer_clip.models.features import project
from safer_clip.models.identity import check_identity, write_identity
from safer_clip.models.loading import load_preparation, load_whole, pick_device
from safer_clip.models.preparation import FAMILIES, Family, Inputs, Preparation
from safer_clip.models.similarity import COSINE, Modality, Similarity, read_similarity, write_similarity

if TYPE_CHECKING:
    from PIL.Image import Image

Embeddings = NDArray[np.float32]

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_NEEDED: dict[Modality, tuple[str, ...]] = {
    "text": ("tokenizer.json", "spiece.model"),
    "image": ("preprocessor_config.json",),
}


@dataclass(frozen=True)
class DualEncoder:
    """Encodes texts and images into one space, and owns their similarity there: the cosine, unless a model says otherwise.

    The sigmoid family (SigLIP) scores a pair by ``sigmoid(scale * cosine + bias)``, which ranks as the cosine does.

    A *half*, a text or a vision encoder with its projection, is one of them that refuses the other modality.

    Attributes:
        model: a ``transformers`` model of one of :data:`~safer_clip.models.preparation.FAMILIES`.
        tokenizer: its tokenizer; ``None`` for a vision half.
        processor: its image processor; ``None`` for a text half.
        similarity: what becomes of projected features, and how they compare.
    """

    model: Any
    tokenizer: Any
    processor: Any
    similarity: Similarity = COSINE

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> DualEncoder:
        """Load a folder in the ordinary ``transformers`` layout; nothing is downloaded, nothing unpickled.

        Args:
            folder: with weights, tokenizer and preprocessing.
            device: by default a GPU where there is one.

        Raises:
            ConfigError: a file that the folder must hold is missing, the architecture is none that is known, weights are
                missing, or the model does not answer as it did when it was written.
        """
        import transformers

        family, folder = cls.check(folder), Path(folder)
        encoder = cls(
            model=load_whole(getattr(transformers, family.model), folder).to(device or pick_device()),
            tokenizer=load_preparation(getattr(transformers, family.tokenizer), folder) if family.tokenizer else None,
            processor=load_preparation(getattr(transformers, family.processor), folder) if family.processor else None,
            similarity=read_similarity(folder),
        )
        check_identity(encoder, folder)
        return encoder

    @staticmethod
    def check(folder: str | Path) -> Family:
        """Tell the family of a folder, and refuse one that :meth:`load` could not read; weights are not read.

        Raises:
            ConfigError: names every file that is missing, or the architecture.
        """
        folder = Path(folder)
        path = folder / "config.json"
        needed = [("config.json",), _WEIGHTS, *_NEEDED.values()]
        family = None
        if path.is_file():
            family = _read_family(path)
            needed = [("config.json",), _WEIGHTS, *(_NEEDED[modality] for modality in family.modalities)]
        missing = [" or ".join(names) for names in needed if not any((folder / name).is_file() for name in names)]
        if missing or family is None:
            pickled = any(folder.glob("pytorch_model*.bin"))
            hint = "; it has pickled weights only, which are never read: convert them to safetensors" if pickled else ""
            raise ConfigError(f"{folder} is no model folder: it lacks {', '.join(missing)}{hint}")
        return family

    @property
    def family(self) -> Family:
        """What kind of model it is."""
        return FAMILIES[self.model.config.model_type]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it embeds: both, or one if it is a half."""
        return self.family.modalities

    @property
    def preparation(self) -> Preparation:
        """Tokenizer and image processor, with what the family asks of them."""
        context = getattr(self.configure("text"), "max_position_embeddings", 0)
        return Preparation(self.family, self.tokenizer, self.processor, context)

    def configure(self, modality: Modality) -> Any:
        """The configuration of an encoder."""
        config = self.model.config
        return getattr(config, "text_config" if modality == "text" else "vision_config", config)

    def save(self, folder: str | Path) -> None:
        """Write model, tokenizer and preprocessing in the layout that :meth:`load` reads."""
        self.model.save_pretrained(folder)
        for part in (self.tokenizer, self.processor):
            if part is not None:
                part.save_pretrained(folder)
        write_similarity(self.similarity, Path(folder))
        write_identity(self, Path(folder))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch_size: int = 512) -> Embeddings:
        """Embed texts: float32 ``(n, d)``, L2-normalised for the cosine.

        They are padded to their batch's longest, not to the context.
        """
        rows = [self._embed_texts(texts[i : i + batch_size]) for i in range(0, len(texts), batch_size)]
        return np.concatenate(rows)

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image], batch_size: int = 256) -> Embeddings:
        """Embed pictures: float32 ``(n, d)``, L2-normalised for the cosine."""
        rows = [self._embed_images(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
        return np.concatenate(rows)

    def _embed_texts(self, texts: Sequence[str]) -> Embeddings:
        self._check("text")
        return self._embed(self.preparation.prepare_texts(texts), "text")

    def _embed_images(self, images: Sequence[Image]) -> Embeddings:
        self._check("image")
        return self._embed(self.preparation.prepare_images(images), "image")

    def _embed(self, inputs: Inputs, modality: Modality) -> Embeddings:
        features = project(self.model, self._place(inputs), modality).float()
        array: Embeddings = self.similarity.embed(features, modality).cpu().numpy()
        return array

    def _check(self, modality: Modality) -> None:
        if modality not in self.modalities:
            raise ConfigError(f"this model is the {self.modalities[0]} half alone, and cannot embed {modality}s")

    def _place(self, inputs: Inputs) -> Inputs:
        return {name: part.to(self.model.device) for name, part in inputs.items()}


def _read_family(path: Path) -> Family:
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ConfigError(f"{path} is no model configuration: {error}") from error
    if name not in FAMILIES:
        raise ConfigError(f"{path.parent} holds a model of type {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]
