"""Models of other layouts as ``transformers`` folders, told by their files."""

from __future__ import annotations

from pathlib import Path

from safer_clip.errors import ConfigError
from safer_clip.models import hysac, open_clip
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.sources import locate_model


def convert_model(folder: Path, tokenizer: Path | None = None, base: str | None = None) -> DualEncoder:
    """Load a folder in open_clip's layout or with HySAC's published files.

    Args:
        folder: the model's.
        tokenizer: see :func:`~safer_clip.models.open_clip.load_open_clip`.
        base: folder or hub name, see :func:`~safer_clip.models.hysac.load_hysac`.

    Raises:
        ConfigError: the layout is none of these, an option belongs to the other one, or as the loaders do.
    """
    if any((folder / name).is_file() for name in (hysac.WEIGHTS, hysac.BOUNDS)):
        if base is None or tokenizer is not None:
            raise ConfigError("HySAC needs --base, the CLIP that it was built on, which has the tokenizer as well")
        return hysac.load_hysac(folder, locate_model(base))
    if base is not None:
        raise ConfigError(f"--base is for HySAC, and {folder} has no {hysac.WEIGHTS}")
    return open_clip.load_open_clip(folder, tokenizer)
