"""An encoder that embeds each text and each picture once, however many steps ask for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safer_clip.models.dual_encoder import DualEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

Embeddings = NDArray[np.float32]
EncodeTexts = Callable[[Sequence[str], int], Embeddings]
PICTURES_KEPT = 1024


@dataclass(frozen=True)
class RememberingEncoder(DualEncoder):
    """A :class:`DualEncoder` that keeps what it embedded: all texts, and the latest pictures.

    Attributes:
        texts: embeddings by text.
        pictures: embeddings by digest of the pixels.
    """

    texts: dict[str, Embeddings] = field(default_factory=dict, compare=False, repr=False)
    pictures: dict[bytes, Embeddings] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, encoder: DualEncoder) -> RememberingEncoder:
        """Wrap an encoder."""
        return cls(encoder.model, encoder.tokenizer, encoder.processor, encoder.similarity)

    def encode_texts(self, texts: Sequence[str], batch_size: int = 512) -> Embeddings:
        """See :meth:`DualEncoder.encode_texts`."""
        new = [text for text in dict.fromkeys(texts) if text not in self.texts]
        if new:
            self.texts.update(zip(new, encode_sorted(super().encode_texts, new, batch_size), strict=True))
        return np.stack([self.texts[text] for text in texts])

    def encode_images(self, images: Sequence[Image], batch_size: int = 256) -> Embeddings:
        """See :meth:`DualEncoder.encode_images`."""
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in self.pictures}
        known = {key: self.pictures[key] for key in keys if key in self.pictures}
        if new:
            known.update(zip(new, super().encode_images(list(new.values()), batch_size), strict=True))
        if len(self.pictures) > PICTURES_KEPT:
            self.pictures.clear()
        self.pictures.update(known)
        return np.stack([known[key] for key in keys])


def encode_sorted(encode: EncodeTexts, texts: Sequence[str], batch_size: int = 512) -> Embeddings:
    """Embed texts sorted by length, so that little is padded, and give them in their own order: ``(n, d)``."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found = encode([texts[row] for row in order], batch_size)
    embeddings = np.empty_like(found)
    embeddings[order] = found
    return embeddings
