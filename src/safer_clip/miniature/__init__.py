"""The miniature: a small world with known truth and a small CLIP that knows it, both shipped inside the package.

>>> from safer_clip.miniature import load_encoder, load_split, load_zero_shot
>>> encoder = load_encoder()
>>> table = load_split("mini_nsfw_caps")
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safer_clip.miniature.splits import ScenePair, draw_pairs, load_split
from safer_clip.miniature.zero_shot import ZeroShotSet, load_zero_shot

if TYPE_CHECKING:
    from safer_clip.models.dual_encoder import DualEncoder

__all__ = [
    "ScenePair",
    "ZeroShotSet",
    "draw_pairs",
    "load_encoder",
    "load_model",
    "load_processor",
    "load_split",
    "load_tokenizer",
    "load_zero_shot",
    "model_folder",
]


def model_folder() -> Path:
    """The miniature CLIP's folder, in the ordinary ``transformers`` layout."""
    return Path(str(resources.files("safer_clip.miniature").joinpath("clip")))


def load_encoder() -> DualEncoder:
    """The miniature CLIP with its tokenizer and preprocessing."""
    from safer_clip.models.dual_encoder import DualEncoder

    return DualEncoder.load(model_folder())


def load_model() -> Any:
    """The miniature's ``transformers.CLIPModel``."""
    return load_encoder().model


def load_tokenizer() -> Any:
    """The miniature's ``transformers.CLIPTokenizer``."""
    return load_encoder().tokenizer


def load_processor() -> Any:
    """The miniature's image processor (Pillow backend)."""
    return load_encoder().processor
