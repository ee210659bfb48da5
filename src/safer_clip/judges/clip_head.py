"""A judge in Q16's manner: a CLIP and two learned prompts, or a linear head, from a safetensors file with a manifest.

A folder holds ``manifest.json`` with ``name``, ``version``, ``encoder`` (a model folder, from here on, or its name on the
hub), ``kind`` and optionally ``threshold`` (0.5), and ``head.safetensors`` with

- for ``"prompts"``: ``prompts`` ``(2, d)``, embeddings of *safe* and *unsafe*, compared by cosine at scale 100 as in Q16
  (Schramowski et al., FAccT 2022), whose own file is a pickle and has to be converted once;
- for ``"linear"``: ``weight`` ``(d,)`` and ``bias`` ``()``, whose sigmoid is the score.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safer_clip.errors import ConfigError, list_fields
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.sources import locate_model

if TYPE_CHECKING:
    from PIL.Image import Image

MANIFEST_FILE, HEAD_FILE = "manifest.json", "head.safetensors"
SCALE = 100.0


class HeadManifest(BaseModel):
    """What ``manifest.json`` must say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    encoder: str
    kind: Literal["prompts", "linear"]
    threshold: float = Field(default=0.5, gt=0, le=1)


class _ClipHead:
    """Scores embeddings.

    Args:
        folder: with manifest and head.

    Raises:
        ConfigError: a file is missing, or does not say what it must; tells all of it.
    """

    batch_size = 64

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        missing = [name for name in (MANIFEST_FILE, HEAD_FILE) if not (folder / name).is_file()]
        if missing:
            raise ConfigError(f"{folder} is no judge: it lacks {', '.join(missing)}")
        manifest = _read_manifest(folder / MANIFEST_FILE)
        self.name, self.version, self.threshold = manifest.name, manifest.version, manifest.threshold
        self.kind = manifest.kind
        here = folder / manifest.encoder
        self.encoder = DualEncoder.load(here if here.is_dir() else locate_model(manifest.encoder))
        self.head = load_file(folder / HEAD_FILE)
        self._check_head(folder)

    def _score_embeddings(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.kind == "linear":
            logits = embeddings @ self.head["weight"] + self.head["bias"]
        else:
            prompts = self.head["prompts"] / np.linalg.norm(self.head["prompts"], axis=1, keepdims=True)
            safe, unsafe = (SCALE * embeddings @ prompts.T).T
            logits = unsafe - safe
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)

    def _check_head(self, folder: Path) -> None:
        width = self.encoder.encode_texts(["nothing"]).shape[1]
        wanted = {"prompts": (2, width)} if self.kind == "prompts" else {"weight": (width,), "bias": ()}
        found = {name: part.shape for name, part in self.head.items()}
        if found != wanted:
            raise ConfigError(f"{folder / HEAD_FILE} holds {found}; a {self.kind} head for this encoder has {wanted}")


class ClipHeadJudge(_ClipHead):
    """Scores pictures by their embeddings; arguments and errors as :class:`_ClipHead`."""

    def score(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """See :class:`~safer_clip.judges.base.Judge`."""
        return self._score_embeddings(self.encoder.encode_images([image.convert("RGB") for image in images]))


class ClipHeadTextJudge(_ClipHead):
    """Scores captions by their embeddings, which lie in the same space; the head must be meant for texts."""

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`~safer_clip.judges.base.Judge`."""
        return self._score_embeddings(self.encoder.encode_texts(texts))


def _read_manifest(path: Path) -> HeadManifest:
    try:
        return HeadManifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        raise ConfigError("\n".join([f"{path} does not describe a judge:", *list_fields(error)])) from error
