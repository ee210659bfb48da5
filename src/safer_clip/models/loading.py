"""Other people's models from folders in the ``transformers`` layout: whole, from safetensors, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from safer_clip.errors import ConfigError

_SHOWN = 3


def load_whole(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a model for inference; weights that its files lack are not made up.

    Args:
        kind: class of ``transformers`` with ``from_pretrained``.
        folder: with ``config.json`` and weights as safetensors.
        options: for ``from_pretrained``.

    Raises:
        ConfigError: the folder holds no such model, pickled weights only, or not all weights.
    """
    from safetensors import SafetensorError

    try:
        model, found = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{folder} cannot be loaded as {kind.__name__} from safetensors: {told[0]}") from error
    absent = sorted(found["missing_keys"])
    if absent:
        shown = ", ".join(absent[:_SHOWN]) + (" ..." if len(absent) > _SHOWN else "")
        raise ConfigError(f"{folder} lacks {len(absent)} weights of a {type(model).__name__}: {shown}")
    return model.train(False)


def load_preparation(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a tokenizer, an image processor or both.

    Raises:
        ConfigError: the folder has none.
    """
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{folder} has no {kind.__name__.removeprefix('Auto')}: {told[0]}") from error


def pick_device() -> str:
    """A GPU where there is one; of several, the one that ``torchrun`` gave this process."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
