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
from safer_clip.models.identity import check_identity, write_identity
from safer_clip.models.loading import load_preparation, load_whole, pick_device
from safer_clip.models.preparation import FAMILIES, Family, Inputs, Preparation
from safer_clip.models.similarity import COSINE, Modality, Similarity, read_similarity, write_similarity

if TYPE_CHECKING:
    from PIL.Image import Image

Embeddings = NDArray[np.float32]

_NEEDED = (
    ("config.json",),
    ("preprocessor_config.json",),
    ("tokenizer.json", "spiece.model"),
    ("model.safetensors", "model.safetensors.index.json"),
)


@dataclass(frozen=True)
class DualEncoder:
    """Encodes texts and images into one space, and owns their similarity there: the cosine, unless a model says otherwise.

    The sigmoid family (SigLIP) scores a pair by ``sigmoid(scale * cosine + bias)``, which ranks as the cosine does.

    Attributes:
        model: a ``transformers`` model of one of :data:`~safer_clip.models.preparation.FAMILIES`.
        tokenizer: its tokenizer.
        processor: its image processor.
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
            tokenizer=load_preparation(getattr(transformers, family.tokenizer), folder),
            processor=load_preparation(getattr(transformers, family.processor), folder),
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
        missing = [" or ".join(names) for names in _NEEDED if not any((folder / name).is_file() for name in names)]
        if missing:
            pickled = any(folder.glob("pytorch_model*.bin"))
            hint = "; it has pickled weights only, which are never read: convert them to safetensors" if pickled else ""
            raise ConfigError(f"{folder} is no model folder: it lacks {', '.join(missing)}{hint}")
        try:
            name = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
            raise ConfigError(f"{folder / 'config.json'} is no model configuration: {error}") from error
        if name not in FAMILIES:
            raise ConfigError(f"{folder} holds a model of type {name!r}; there are {', '.join(FAMILIES)}")
        return FAMILIES[name]

    @property
    def preparation(self) -> Preparation:
        """Tokenizer and image processor, with what the family asks of them."""
        family = FAMILIES[self.model.config.model_type]
        return Preparation(family, self.tokenizer, self.processor, self.model.config.text_config.max_position_embeddings)

    def save(self, folder: str | Path) -> None:
        """Write model, tokenizer and preprocessing in the layout that :meth:`load` reads."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.processor.save_pretrained(folder)
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
        output = self.model.get_text_features(**self._place(self.preparation.prepare_texts(texts)))
        return self._embed(output, "text")

    def _embed_images(self, images: Sequence[Image]) -> Embeddings:
        output = self.model.get_image_features(**self._place(self.preparation.prepare_images(images)))
        return self._embed(output, "image")

    def _embed(self, output: Any, modality: Modality) -> Embeddings:
        # transformers 5 returns an output object whose pooler_output is already projected
        array: Embeddings = self.similarity.embed(output.pooler_output.float(), modality).cpu().numpy()
        return array

    def _place(self, inputs: Inputs) -> Inputs:
        return {name: part.to(self.model.device) for name, part in inputs.items()}
