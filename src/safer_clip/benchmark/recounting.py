"""Deciding again without any model: what verdicts that came in since the last build change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safer_clip.benchmark.datasheet import write_datasheet
from safer_clip.benchmark.finishing import QUADRUPLETS_FILE, decide, write_benchmark
from safer_clip.benchmark.loose import read_loose
from safer_clip.benchmark.stats import compute_stats, write_stats
from safer_clip.benchmark.workplace import Workplace, hold_folder
from safer_clip.errors import ConfigError
from safer_clip.journals import read_journal


def recount(folder: Path) -> dict[str, Any]:
    """Take pairs that were rejected since out of a benchmark, and write its figures and datasheet anew.

    Nothing is put in the place of what goes, and an edit leaves its pair out until it is measured: ``benchmark build``
    does both.

    Returns:
        The statistics.

    Raises:
        ConfigError: the folder is no finished benchmark, or a build is at work in it.
        DataError: a journal is broken.
    """
    place = Workplace.open(folder)
    if not (folder / QUADRUPLETS_FILE).is_file():
        raise ConfigError(f"{folder} has no {QUADRUPLETS_FILE} yet; safer-clip benchmark build writes it")
    with hold_folder(folder):
        rows = {row["id"]: row["safe_image"] for row in read_journal(folder / QUADRUPLETS_FILE)}
        outcome = decide(place, among=set(rows))
        write_benchmark(place, outcome, rows)
        stats = compute_stats(place, outcome, read_loose(place))
        write_stats(place, stats)
        write_datasheet(place, stats)
    return stats
