"""Does a model still answer as it did when it was written? Activation and preprocessing are easily lost on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from safer_clip.errors import ConfigError
from safer_clip.files import write_json

if TYPE_CHECKING:
    from safer_clip.models.dual_encoder import DualEncoder, Embeddings

IDENTITY_FILE = "safer_clip_identity.json"
TOLERANCE = 2e-3
"""Largest difference of a normalised embedding's number that is taken for rounding, between machines and precisions."""

_TEXTS = ("a dog in the park", "two cups of tea on a table")
_SHOWN = 16


def describe_identity(encoder: DualEncoder) -> dict[str, Any]:
    """Activations, image processor, and the first numbers of a few embeddings of fixed captions and invented pictures."""
    from PIL import Image

    draw = np.random.default_rng(0)
    pictures = [
        Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        for size in ((320, 240), (200, 300))
    ]
    found: dict[str, Any] = {}
    if "text" in encoder.modalities:
        found["text_activation"] = encoder.configure("text").hidden_act
        found["text"] = _round(encoder.encode_texts(_TEXTS))
    if "image" in encoder.modalities:
        found["vision_activation"] = encoder.configure("image").hidden_act
        found["image_processor"] = type(encoder.processor).__name__
        found["image"] = _round(encoder.encode_images(pictures))
    return found


def _round(embeddings: Embeddings) -> list[list[float]]:
    rows: list[list[float]] = np.round(embeddings[:, :_SHOWN].astype(float), 6).tolist()
    return rows


def write_identity(encoder: DualEncoder, folder: Path) -> None:
    """Keep the identity beside the weights."""
    write_json(folder / IDENTITY_FILE, describe_identity(encoder))


def check_identity(encoder: DualEncoder, folder: Path) -> None:
    """Compare a loaded model with the identity in its folder; a folder without one is taken as it is.

    Raises:
        ConfigError: it differs; tells in what.
    """
    path = folder / IDENTITY_FILE
    if not path.is_file():
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        problems = _compare(kept, describe_identity(encoder))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); remove it if the model is known to be right") from error
    if problems:
        told = "; ".join(problems)
        raise ConfigError(
            f"{folder} does not answer as it did when it was written: {told}. Restore the files, or remove {path}"
        )


def _compare(kept: dict[str, Any], found: dict[str, Any]) -> list[str]:
    problems = [
        f"{name.replace('_', ' ')} is {found[name]}, was {kept[name]}"
        for name in ("text_activation", "vision_activation", "image_processor")
        if name in found and kept[name] != found[name]
    ]
    for side in (side for side in ("text", "image") if side in found):
        difference = float(np.abs(np.asarray(kept[side], float) - np.asarray(found[side], float)).max())
        if not difference <= TOLERANCE:
            problems.append(f"{side} embeddings differ by {difference:.3g}")
    return problems
