"""Sharing an exported benchmark on the Hugging Face hub, privately unless asked otherwise."""

from __future__ import annotations

from pathlib import Path

from safer_clip.benchmark.exporting import CARD_FILE, CHECKSUMS_FILE
from safer_clip.errors import ConfigError
from safer_clip.hub import upload_folder


def push_benchmark(folder: Path, repo: str, public: bool = False) -> str:
    """Upload what ``safer-clip benchmark export`` wrote.

    Args:
        folder: of the export.
        repo: ``owner/name``.
        public: make the repository public; it is private otherwise, and an existing one stays as it is.

    Returns:
        The repository's address.

    Raises:
        ConfigError: the folder is no export, or the name is none.
        HubError: the hub refused, or cannot be reached.
    """
    missing = [name for name in (CARD_FILE, CHECKSUMS_FILE) if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"{folder} is no exported benchmark: it lacks {', '.join(missing)}; safer-clip benchmark export makes one"
        )
    return upload_folder(folder, repo, public, kind="dataset")
