"""A CLIP-like model together with its preprocessing and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from safer_clip.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class DualEncoder:
    """Encodes texts and images into one space, where similarity is the cosine.

    Attributes:
        model: a ``transformers`` CLIP model.
        tokenizer: its tokenizer.
        processor: its image processor, of the Pillow backend: the two backends differ slightly in pixels.
    """

    model: Any
    tokenizer: Any
    processor: Any

    @classmethod
    def load(cls, folder: str | Path) -> DualEncoder:
        """Load a folder in the ordinary ``transformers`` layout; nothing is downloaded, nothing unpickled.

        Raises:
            ConfigError: the folder, or a file that it must hold, is missing.
        """
        from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

        cls.check(folder)
        return cls(
            model=CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).train(False),
            tokenizer=CLIPTokenizer.from_pretrained(folder, local_files_only=True),
            processor=CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True),
        )

    @staticmethod
    def check(folder: str | Path) -> None:
        """Refuse a folder that :meth:`load` could not read.

        Raises:
            ConfigError: names every file that is missing.
        """
        needed = ("config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors")
        missing = [name for name in needed if not (Path(folder) / name).is_file()]
        if missing:
            raise ConfigError(f"{folder} is no CLIP folder: it lacks {', '.join(missing)}")

    def save(self, folder: str | Path) -> None:
        """Write model, tokenizer and preprocessing in the layout that :meth:`load` reads."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.processor.save_pretrained(folder)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch_size: int = 512) -> Embeddings:
        """Embed texts: float32 ``(n, d)``, L2-normalised. Texts are padded to their batch's longest, not to the context."""
        rows = [self._embed_texts(texts[i : i + batch_size]) for i in range(0, len(texts), batch_size)]
        return np.concatenate(rows)

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image], batch_size: int = 256) -> Embeddings:
        """Embed pictures: float32 ``(n, d)``, L2-normalised."""
        rows = [self._embed_images(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
        return np.concatenate(rows)

    def _embed_texts(self, texts: Sequence[str]) -> Embeddings:
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.model.device)
        return _normalise(self.model.get_text_features(tokens["input_ids"], attention_mask=tokens["attention_mask"]))

    def _embed_images(self, images: Sequence[Image]) -> Embeddings:
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"].to(self.model.device)
        return _normalise(self.model.get_image_features(pixels))


def _normalise(output: Any) -> Embeddings:
    # transformers 5 returns an output object whose pooler_output is already projected
    array: Embeddings = F.normalize(output.pooler_output.float(), dim=-1).cpu().numpy()
    return array
