"""Putting together what a folder was begun with, a settings file and what a command was given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safer_clip.benchmark.settings import MINIATURE, BuildSettings, merge_settings
from safer_clip.benchmark.workplace import MANIFEST_FILE, read_manifest
from safer_clip.config import check_settings, read_yaml


def settle_settings(folder: Path, config: Path | None, *given: Mapping[str, Any]) -> BuildSettings:
    """Settings for a folder: its own if it was begun, the file's over them, and what was given over those.

    Raises:
        ConfigError: lists every setting that is unknown, missing or out of range.
    """
    chosen = read_yaml(config) if config else {}
    for each in given:
        chosen = merge_settings(chosen, {name: value for name, value in each.items() if value != {}})
    if (folder / MANIFEST_FILE).is_file():
        chosen = merge_settings(read_manifest(folder)["settings"], chosen)
    if isinstance(source := chosen.get("source"), Mapping) and source.get("data") == "miniature":
        chosen = merge_settings(MINIATURE, chosen)
    return check_settings(BuildSettings, chosen)
