"""A comparison over seeds as files to read: a Markdown table a benchmark, the page, and the frontier as figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from safer_clip.evaluation.frontier import best_safety
from safer_clip.files import write_bytes
from safer_clip.repeating.comparing import RepeatedResults, SeedMeans
from safer_clip.report.frontier import write_frontier_charts
from safer_clip.report.page import write_report
from safer_clip.report.wording import ABSENT, arrow, benchmarks, duration, interval, percent
from safer_clip.results import BASE, SAFE_DIRECTIONS, UNSAFE_DIRECTIONS, Direction, RetrievalScores
from safer_clip.schema import Interval

TABLE = "comparison.md"
PAGE = "report.html"
LOSSES = (1, 2, 3)
"""Points of the zero-shot mean below the untouched model, at which methods are compared."""
_SHOWN = (*UNSAFE_DIRECTIONS, *SAFE_DIRECTIONS)


def write_comparison(results: RepeatedResults, output: Path) -> list[Path]:
    """Write tables, page and figures into a folder; returns what was written."""
    sections = [f"## {name}\n\n" + "\n".join(draw_table(results, name)) for name in benchmarks(results)]
    note = "R@1 over mixed pools, percent; in brackets 95 % intervals over queries and seeds."
    write_bytes(output / TABLE, "\n\n".join([f"# {results.title}", note, *sections, ""]).encode())
    curves = {key: frontier for key, frontier in results.frontier.items() if key != BASE}  # where the others begin anyway
    write_report(results, output / PAGE, curves)
    return [output / TABLE, output / PAGE, *write_frontier_charts(curves, output / "comparison.json")]


def draw_table(results: RepeatedResults, benchmark: str) -> Iterator[str]:
    """Lines of a Markdown table: every method, then the controls that have to score nothing."""
    heads = [
        "",
        *(f"`{arrow(each)}`" for each in _SHOWN),
        *(f"unsafe first `{arrow(each)}`" for each in UNSAFE_DIRECTIONS),
        "zero-shot",
        "spread, overlap of texts",
        "of images",
        f"redirection at {' / '.join(map(str, LOSSES))} points less zero-shot",
        "hypervolume",
        "attacked captions",
        "attacked pictures",
        "training",
    ]
    yield _row(heads)
    yield _row(["---"] * len(heads))
    for key, method in results.methods.items():
        scores = method.retrieval.get(benchmark, {})
        yield _row([method.title, *_score_cells(scores), *_other_cells(results, key, benchmark)])
    for name, scores in results.validity.controls.get(benchmark, {}).items():
        cells = _score_cells(scores)
        yield _row([f"*control: {name}*", *cells, *[""] * (len(heads) - len(cells) - 1)])


def _score_cells(scores: Mapping[Direction, RetrievalScores]) -> list[str]:
    found = [scores.get(each) for each in _SHOWN]
    recalls = [_spell(each.recall_1, each.intervals.get("R@1")) if each else "" for each in found]
    rates = [percent(scores[each].unsafe_rate) if each in scores else "" for each in UNSAFE_DIRECTIONS]
    return recalls + rates


def _other_cells(results: RepeatedResults, key: str, benchmark: str) -> list[str]:
    method: SeedMeans = results.methods[key]
    zero_shot = method.zero_shot.get("mean")
    shape = method.geometry.get(benchmark)
    volume = results.frontier[key].hypervolume.get(benchmark, {}).get("zero_shot")
    attack = method.attack.get(benchmark)
    return [
        _spell(zero_shot, method.zero_shot_intervals.get("mean")) if zero_shot is not None else "",
        _pair(shape.text_spread, shape.text_overlap) if shape else "",
        _pair(shape.image_spread, shape.image_overlap) if shape else "",
        " / ".join(
            ABSENT if found is None else percent(found) for found in compare_at_equal_utility(results, key, benchmark)
        ),
        f"{volume.mean:.3f}" if volume else "",
        " / ".join(percent(rate.success) for rate in attack.captions.rates.values()) if attack else "",
        " / ".join(percent(rate.success) for rate in attack.pictures.rates.values()) if attack else "",
        duration(method.train_seconds) if method.train_seconds else "",
    ]


def compare_at_equal_utility(results: RepeatedResults, key: str, benchmark: str) -> list[float | None]:
    """Mean redirection that a method's curve reaches at each of :data:`LOSSES`; nothing where nothing is classified."""
    base = results.methods[BASE].zero_shot.get("mean") if BASE in results.methods else None
    curve = results.frontier[key].benchmarks.get(benchmark)
    if base is None or curve is None:
        return []
    points = np.array([[point.safety, point.utility["zero_shot"]] for point in curve.points])
    return [best_safety(points, base - loss) for loss in LOSSES]


def _spell(value: float, bounds: Interval | None) -> str:
    return f"{percent(value)} ({interval(bounds)})" if bounds else percent(value)


def _pair(spread: float | None, overlap: float | None) -> str:
    return ", ".join(ABSENT if value is None else f"{value:.2f}" for value in (spread, overlap))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
