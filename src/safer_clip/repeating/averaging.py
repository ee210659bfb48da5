"""Averaging the same measurements over seeds: pure maths on the trees that results are made of.

Two things make a figure uncertain: the queries that happened to be asked, and the seed that happened to be trained with. A
bootstrap over queries knows nothing of seeds, and three seeds alone say little of queries that all of them share. So the
half-widths of both are added in quadrature: the bootstrap's, averaged over seeds and not divided by their number, and
Student's t times the standard error of the seeds' mean.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from safer_clip.schema import Interval

Tree = Mapping[str, Any]
LEVEL = 0.95
_PERCENT = (0.0, 100.0)
_ALONE = "interval"
"""Key of a part's only interval; the figure is what the part leads with."""
_FIGURES_OF = {"intervals": None, "zero_shot_intervals": "zero_shot"}
"""Keys under which trees hold several; the figures stand beside, or in the tree that is named."""


def student_quantile(freedom: int, level: float = LEVEL) -> float:
    """Two-sided quantile of Student's t: 12.71 for one degree of freedom, 4.30 for two, towards 1.96.

    Exact for one and two degrees, else Hill's expansion of the normal quantile, within 0.01 (Abramowitz and Stegun 26.7.5).
    """
    p = (1 + level) / 2
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    if freedom == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = statistics.NormalDist().inv_cdf(p)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / float(freedom) ** power for power, term in enumerate(terms))


def combine_intervals(
    values: Sequence[float], bounds: Sequence[Interval] | None, limits: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """The interval of a mean over seeds.

    Args:
        values: the figure of each seed.
        bounds: each one's interval over queries; none for a figure that queries do not enter.
        limits: that the figure cannot pass.
    """
    mean = statistics.fmean(values)
    below = statistics.fmean(value - low for value, (low, _) in zip(values, bounds, strict=True)) if bounds else 0.0
    above = statistics.fmean(high - value for value, (_, high) in zip(values, bounds, strict=True)) if bounds else 0.0
    seeds = spread_of_mean(values)
    return max(limits[0], mean - math.hypot(below, seeds)), min(limits[1], mean + math.hypot(above, seeds))


def spread_of_mean(values: Sequence[float]) -> float:
    """Half-width of the mean's interval from the values alone; 0 for a single one, of which nothing is known."""
    if len(values) < 2:
        return 0.0
    return student_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def average_trees(trees: Sequence[Tree]) -> dict[str, Any]:
    """Average trees of one shape: numbers are averaged, words are the first tree's, intervals are combined.

    What only some of the trees have is left out.
    """
    first = trees[0]
    shared = [key for key in first if all(key in tree for tree in trees)]
    found: dict[str, Any] = {}
    for key in shared:
        parts = [tree[key] for tree in trees]
        if key == _ALONE:
            found[key] = combine_intervals([tree[next(iter(tree))] for tree in trees], parts, _PERCENT)
        elif key in _FIGURES_OF:
            found[key] = dict(_combine(trees, key))
        else:
            found[key] = _average(parts)
    return found


def list_intervals(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Interval]]:
    """Every interval of a tree by the path of its figure, such as ``retrieval/mini_nsfw_caps/T*->V/R@1``."""
    for key, part in tree.items():
        if key == _ALONE:
            yield "/".join((*path, next(iter(tree)))), part
        elif key in _FIGURES_OF:
            outer = (*path, _FIGURES_OF[key]) if _FIGURES_OF[key] else path
            yield from (("/".join((*filter(None, outer), name)), bounds) for name, bounds in part.items())
        elif isinstance(part, Mapping):
            yield from list_intervals(part, (*path, key))


def _combine(trees: Sequence[Tree], key: str) -> Iterator[tuple[str, Interval]]:
    place = _FIGURES_OF[key]
    for name in trees[0][key]:
        if all(name in tree[key] for tree in trees):
            values = [(tree[place] if place else tree)[name] for tree in trees]
            yield name, combine_intervals(values, [tree[key][name] for tree in trees], _PERCENT)


def _average(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Mapping):
        return average_trees(parts)
    if isinstance(first, list | tuple):
        return [_average(row) for row in zip(*parts, strict=False)]
    if isinstance(first, bool) or not isinstance(first, int | float):
        return first
    if all(part == first for part in parts):
        return first
    return statistics.fmean(parts)
