"""Writing outputs: whole or not at all, and never over what is already there unless asked."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from safer_clip.errors import ConfigError


def prepare_output(folder: Path, overwrite: bool) -> Path:
    """Create an output folder.

    Raises:
        ConfigError: it is a file, or holds something and ``overwrite`` is false.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output {folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ConfigError(f"--output {folder} is not empty; name another folder, or pass --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: readers see the old content or all of the new."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically, indented, with a final newline.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold; nothing is written.
    """
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
