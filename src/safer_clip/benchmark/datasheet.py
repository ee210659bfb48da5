"""The datasheet: what a benchmark is, how it came about and what it must not be used for (Gebru et al., 2021)."""

from __future__ import annotations

from typing import Any

from safer_clip.benchmark.workplace import Workplace, read_manifest
from safer_clip.files import write_bytes
from safer_clip.templates import load_templates

DATASHEET_FILE = "datasheet.md"


def write_datasheet(place: Workplace, stats: dict[str, Any]) -> None:
    """Write the datasheet atomically; no caption, address or local path is in it."""
    manifest = read_manifest(place.folder)
    text = (
        load_templates("safer_clip.benchmark", autoescape=False)
        .get_template("datasheet.md.j2")
        .render(
            stats=stats,
            manifest=manifest,
            settings=place.settings,
            rewriter=manifest["rewriter"],
            thresholds=place.settings.thresholds.model_dump(),
            pictures=place.settings.pictures.generator != "none",
        )
    )
    write_bytes(place.folder / DATASHEET_FILE, text.encode())
