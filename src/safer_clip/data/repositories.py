"""Quadruplets on the Hugging Face hub, through ``datasets``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safer_clip.data.problems import Kind, ProblemLog

if TYPE_CHECKING:
    from datasets import Dataset


def is_repository(name: str) -> bool:
    """Whether a name that is no path could be a repository's, ``owner/name``."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).suffix


def load_repository(repo: str, split: str | None) -> Dataset:
    """Load a split, fetched from the hub if the cache of ``datasets`` lacks it.

    Args:
        repo: ``owner/name``.
        split: may be absent where the repository has one only.

    Raises:
        DataError: the hub did not give it, there is no such split, or there are several and none is named.
    """
    from datasets import load_dataset

    log = ProblemLog(repo)
    try:
        splits = load_dataset(repo)
    except Exception as error:  # datasets, the hub and the network raise all kinds
        told = str(error).strip().splitlines() or [type(error).__name__]
        log.fail(Kind.FILE_NOT_FOUND, f"there is no such path, and the hub did not give it: {told[0]}")
    chosen = split or (next(iter(splits)) if len(splits) == 1 else None)
    if chosen not in splits:
        what = f"there is no split {split!r}" if split else "there are several splits; name one with split"
        log.fail(Kind.UNSUPPORTED, f"{what}: {', '.join(splits)}")
    return splits[chosen]
