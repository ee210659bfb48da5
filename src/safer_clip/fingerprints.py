"""Short digests that tell whether two models, preprocessings or data sets are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.models.dual_encoder import DualEncoder

_DIGEST_BYTES = 12


def fingerprint_model(model: torch.nn.Module) -> str:
    """Digest of all weights and of the configuration.

    The activation is part of it: the same weights under another activation are another model.
    """
    digest = _start()
    config = getattr(model, "config", None)
    if config is not None:
        _add(digest, _stable_config(config.to_dict()))
    for name, tensor in sorted(model.state_dict().items()):
        _add(digest, f"{name}:{tuple(tensor.shape)}:{tensor.dtype}")
        digest.update(_view_bytes(tensor))
    return str(digest.hexdigest())


def fingerprint_preprocessing(encoder: DualEncoder) -> str:
    """Digest of tokenizer and image processor, its backend included, since backends differ slightly in pixels."""
    digest = _start()
    if encoder.processor is not None:
        _add(digest, type(encoder.processor).__name__)
        _add(digest, encoder.processor.to_json_string())
    if encoder.tokenizer is not None:
        backend = getattr(encoder.tokenizer, "backend_tokenizer", None)
        _add(digest, backend.to_str() if backend else json.dumps(encoder.tokenizer.get_vocab(), sort_keys=True))
        _add(digest, str(encoder.tokenizer.model_max_length))
    return str(digest.hexdigest())


def fingerprint_table(table: Dataset) -> str:
    """Digest of a table of quadruplets: ids, captions and pictures.

    A picture that a file holds counts by path, size and time of change, so that a large set need not be read twice.
    """
    from datasets import Image

    digest = _start()
    for column in ("id", "safe_caption", "unsafe_caption"):
        _add_all(digest, table[column])
    for column in ("safe_image", "unsafe_image"):
        stored = table.cast_column(column, Image(decode=False)).with_format(None)[column]
        _add_all(digest, (_describe_picture(cell) for cell in stored))
    return str(digest.hexdigest())


def _start() -> Any:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def _add(digest: Any, text: str) -> None:
    encoded = text.encode()
    digest.update(len(encoded).to_bytes(8, "little"))  # so that "ab", "c" differs from "a", "bc"
    digest.update(encoded)


def _add_all(digest: Any, texts: Iterable[str]) -> None:
    for text in texts:
        _add(digest, text)


def _stable_config(config: dict[str, Any]) -> str:
    # where a model came from and how it happens to be loaded does not change what it computes
    passing = {"_name_or_path", "transformers_version", "_attn_implementation", "dtype", "torch_dtype"}
    passing |= {"use_cache", "architectures"}  # set by the Trainer, and by saving

    def strip(value: Any) -> Any:
        return {k: strip(v) for k, v in value.items() if k not in passing} if isinstance(value, dict) else value

    return json.dumps(strip(config), sort_keys=True, default=str)


def _view_bytes(tensor: torch.Tensor) -> Any:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return np.ascontiguousarray(flat.view(torch.uint8).numpy()).data


def _describe_picture(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "none"
    if cell["bytes"] is not None:
        return hashlib.blake2b(cell["bytes"], digest_size=_DIGEST_BYTES).hexdigest()
    path = Path(cell["path"])
    found = path.stat()
    return f"{path.name}:{found.st_size}:{found.st_mtime_ns}"
