"""The frontier as a chart for each benchmark, in the page or as a file of its own, and as lines for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from safer_clip.evaluation.frontier import Curve, Frontier, Utility
from safer_clip.files import write_bytes
from safer_clip.report.charts import INK, label_points, new_axes, pick_styles, to_svg, widen
from safer_clip.report.wording import percent
from safer_clip.schema import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES: dict[Utility, str] = {"zero_shot": "Zero-shot mean, %", "recall": "T→V and V→T, mean R@1, %"}
_FEW, _ROOM = 6, 1.4
"""How many lines have room in a chart of the usual size, and how much larger one is that has more."""
_COLOURS = {"light": "--ink:#1b1d21;--muted:#595e66;--rule:#dcdcd6", "dark": "--ink:#e9e9e4;--muted:#a7abb3;--rule:#363a40"}
_STYLE = f"<style>:root{{{_COLOURS['light']}}}@media (prefers-color-scheme:dark){{:root{{{_COLOURS['dark']}}}}}</style>"


def draw_frontier(frontiers: Mapping[str, Frontier], benchmark: str, utility: Utility) -> str | None:
    """Draw safety against utility, one line a method from the weakest strength to the strongest.

    The trained model is the large marker that is named; the base model, which all lines share, is named once.

    Returns:
        An ``<svg>`` element, or None where no method has both figures.
    """
    curves = _find_curves(frontiers, benchmark, utility)
    if not curves:
        return None
    figure, axes = new_axes(AXES[utility], "T*→V and V*→T, mean R@1, %", _ROOM if len(curves) > _FEW else 1.0)
    styles = pick_styles(list(frontiers))
    named: dict[str, tuple[float, float]] = {}
    for key, curve in curves.items():
        colour, marker = styles[key]
        named |= _draw_line(axes, key, curve, utility, colour, marker)
    axes.margins(0.12, 0.16)
    widen(axes)
    titles = {key: frontiers[key].title for key in curves} | {"base": "base model"}
    points = [(titles[key], styles.get(key, (INK, ""))[0], point) for key, point in named.items()]
    label_points(axes, points, [piece for curve in curves.values() for piece in _cut_line(curve, utility)])
    told = ", ".join(f"{frontiers[key].title} {curve.measures[utility].hypervolume:.3f}" for key, curve in curves.items())
    return to_svg(figure, f"frontier-{benchmark}-{utility}", f"{benchmark}: safety against utility; hypervolume {told}")


def write_frontier_charts(frontiers: Mapping[str, Frontier], output: Path) -> list[Path]:
    """Write one SVG file a benchmark beside a results file, against zero-shot accuracy where there is any."""
    paths = []
    for benchmark in _benchmarks(frontiers):
        utility: Utility = "zero_shot" if _find_curves(frontiers, benchmark, "zero_shot") else "recall"
        svg = draw_frontier(frontiers, benchmark, utility)
        if svg:
            paths.append(output.with_name(f"{output.stem}-{re.sub(r'[^A-Za-z0-9_-]+', '-', benchmark)}.svg"))
            write_bytes(paths[-1], stand_alone(svg).encode())
    return paths


def stand_alone(svg: str) -> str:
    """A chart of the page as a file of its own: it brings the page's colours, for light and for dark."""
    opening, rest = svg.split(">", 1)
    return f'{opening} xmlns="http://www.w3.org/2000/svg">{_STYLE}{rest}\n'


def summarize_frontier(frontiers: Mapping[str, Frontier]) -> Iterator[str]:
    """One line a benchmark, utility and method: hypervolume, and the utility that is left at some redirection recalls."""
    for benchmark in _benchmarks(frontiers):
        for utility in AXES:
            for key, curve in _find_curves(frontiers, benchmark, utility).items():
                measure = curve.measures[utility]
                left = ", ".join(f"{percent(value)} at {level}" for level, value in measure.utility_at.items())
                name = f"{benchmark}, {utility.replace('_', '-')}, {frontiers[key].title}"
                yield f"{name}: hypervolume {measure.hypervolume:.3f}; {left or 'reaches no redirection of 10'}"


def _draw_line(
    axes: Axes, key: str, curve: Curve, utility: Utility, colour: str, marker: str
) -> dict[str, tuple[float, float]]:
    """Draw one method's line; returns the points to name: the trained model's, or the strongest, and the base model's."""
    points = {point.strength: (point.utility[utility], point.safety) for point in curve.points}
    across, up = zip(*points.values(), strict=True)
    axes.plot(across, up, marker=marker, markersize=4, color=colour, linewidth=1.6, clip_on=False, gid=f"line-{key}")
    trained = points.get(1.0, list(points.values())[-1])
    axes.plot(*trained, marker, color=colour, markersize=8, clip_on=False, gid=f"point-{key}")
    named = {key: trained}
    if 0.0 in points:
        axes.plot(*points[0.0], "o", color=INK, markersize=6, clip_on=False)
        named["base"] = points[0.0]
    return named


def _cut_line(curve: Curve, utility: Utility, pieces: int = 12) -> Iterator[tuple[Interval, Interval]]:
    """A line in short pieces, each with its extent along both axes, so that names keep clear of a slanting line."""
    spots = [(point.utility[utility], point.safety) for point in curve.points]
    for (x0, y0), (x1, y1) in pairwise(spots):
        shares = [piece / pieces for piece in range(pieces + 1)]
        places = [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in shares]
        yield from (
            ((ax, bx) if ax < bx else (bx, ax), (ay, by) if ay < by else (by, ay)) for (ax, ay), (bx, by) in pairwise(places)
        )


def _find_curves(frontiers: Mapping[str, Frontier], benchmark: str, utility: Utility) -> dict[str, Curve]:
    found = {key: frontier.benchmarks.get(benchmark) for key, frontier in frontiers.items()}
    return {key: curve for key, curve in found.items() if curve and utility in curve.measures}


def _benchmarks(frontiers: Mapping[str, Frontier]) -> list[str]:
    return list(dict.fromkeys(name for frontier in frontiers.values() for name in frontier.benchmarks))
