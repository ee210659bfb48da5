"""The report's charts, as SVG to be set inside the page.

Matplotlib is imported when a chart is drawn, and only through its object-oriented side. Inks are CSS variables of the page,
so that a chart follows the page into the dark; every identifier carries the chart's name, so that charts can share a page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

from safer_clip.report.wording import safety, safety_interval
from safer_clip.results import BASE, Interval, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

Side = Literal["text", "vision"]

INK, MUTED, GRID = "#010203", "#040506", "#070809"  # stand-ins that become the page's own colours
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--rule)"}
OKABE_ITO = ("#009e73", "#e69f00", "#56b4e9", "#f0e442")
STYLES = {
    BASE: (INK, "o"),
    "clip_plus": ("#cc79a7", "s"),
    "safe_clip": ("#0072b2", "^"),
    "safer_clip": ("#d55e00", "D"),
    "safer_plus": ("#009e73", "P"),
    "safe_clip_code": ("#56b4e9", "v"),
    "shield_clip": ("#e69f00", "p"),
    "hysac": ("#8c564b", "h"),
    "projection": ("#9467bd", "d"),
    "uwm": ("#7f7f7f", "X"),
}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
LABEL_SIZE = 9.5
LABEL_GAP = 16.0


def method_styles(results: Results) -> dict[str, tuple[str, str]]:
    """Colour and marker of every method, the same in every chart and every report."""
    return pick_styles(list(results.methods))


def pick_styles(keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Likewise by the methods' keys alone."""
    others = [key for key in keys if key not in STYLES]
    spare = {key: (OKABE_ITO[i % 4], "vPXh"[(i + i // 4) % 4]) for i, key in enumerate(others)}
    return {key: STYLES.get(key) or spare[key] for key in keys}


def draw_tradeoff(results: Results, benchmark: str) -> str | None:
    """Draw utility (zero-shot mean) against safety (mean R@1 of unsafe queries), one labelled point per method.

    Whiskers show the intervals that there are.

    Returns:
        An ``<svg>`` element, or None where no method has both figures.
    """
    points = {
        key: (method.zero_shot["mean"], score)
        for key, method in results.methods.items()
        if "mean" in method.zero_shot and (score := safety(method, benchmark)) is not None
    }
    if not points:
        return None
    figure, axes = new_axes("Zero-shot mean, %", "T*→V and V*→T, mean R@1, %")
    styles = method_styles(results)
    whiskers = []
    for key, (x, y) in points.items():
        colour, marker = styles[key]
        method = results.methods[key]
        whiskers += _whiskers(
            axes, (x, y), method.zero_shot_intervals.get("mean"), safety_interval(method, benchmark), colour
        )
        axes.plot([x], [y], marker, color=colour, markersize=8, gid=f"point-{key}", clip_on=False)
    axes.margins(0.16, 0.16)
    widen(axes)
    label_points(axes, [(results.methods[key].title, styles[key][0], point) for key, point in points.items()], whiskers)
    titles = ", ".join(f"{results.methods[key].title} {x:.1f} and {y:.1f}" for key, (x, y) in points.items())
    return to_svg(figure, f"tradeoff-{benchmark}", f"{benchmark}: zero-shot mean and mean R@1 of unsafe queries: {titles}")


def draw_drift(results: Results, side: Side) -> str | None:
    """Draw how far training moved one encoder's weights, by epoch, one labelled line per method.

    Returns:
        An ``<svg>`` element, or None where no method recorded its epochs.
    """
    from matplotlib.ticker import MaxNLocator

    index = 0 if side == "text" else 1
    curves = {key: [0.0, *(e[index] for e in m.drift.epochs)] for key, m in results.methods.items() if m.drift.epochs}
    if not curves:
        return None
    figure, axes = new_axes("Epoch", "L2 distance of the weights")
    styles = method_styles(results)
    for key, curve in curves.items():
        colour, marker = styles[key]
        axes.plot(
            range(len(curve)),
            curve,
            marker=marker,
            markersize=4,
            color=colour,
            linewidth=1.6,
            clip_on=False,
            gid=f"line-{key}",
        )
    axes.set_xlim(0, max(map(len, curves.values())) - 1)
    axes.set_ylim(0, max(max(map(max, curves.values())) * 1.08, 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    ends = [(results.methods[key].title, styles[key][0], (len(curve) - 1, curve[-1])) for key, curve in curves.items()]
    _label_ends(axes, ends)
    figures = ", ".join(f"{results.methods[key].title} {curve[-1]:.2f}" for key, curve in curves.items())
    return to_svg(figure, f"drift-{side}", f"Drift of the {side} encoder by epoch; at the end {figures}")


def new_axes(across: str, up: str, scale: float = 1.0) -> tuple[Figure, Axes]:
    """A chart's empty axes in the report's style; what is in a larger one has more room, and the same size of print."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.9 * scale, 3.5 * scale), layout=None)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.125, 0.145, 0.85, 0.825))
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9, length=3)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(across, color=INK, fontsize=LABEL_SIZE, parse_math=False)
    axes.set_ylabel(up, color=INK, fontsize=LABEL_SIZE, parse_math=False)
    return figure, axes


def _whiskers(
    axes: Axes, point: tuple[float, float], across: Interval | None, up: Interval | None, colour: str
) -> list[tuple[Interval, Interval]]:
    """Draw a point's intervals; returns each whisker's extent along both axes."""
    x, y = point
    extents = [*([(across, (y, y))] if across else []), *([((x, x), up)] if up else [])]
    for ends_x, ends_y in extents:
        axes.plot(ends_x, ends_y, color=colour, linewidth=1.1, alpha=0.75, clip_on=False)
    return extents


def widen(axes: Axes, least: float = 4.0) -> None:
    """Show at least some points, so that a hair's breadth does not look like a gulf, and no impossible percent."""
    for limits, assign in ((axes.get_xlim(), axes.set_xlim), (axes.get_ylim(), axes.set_ylim)):
        extra = max(0.0, least - (limits[1] - limits[0])) / 2
        assign(max(limits[0] - extra, -2.0), min(limits[1] + extra, 102.0))


def label_points(
    axes: Axes, points: Sequence[tuple[str, str, tuple[float, float]]], whiskers: Sequence[tuple[Interval, Interval]]
) -> None:
    """Write each name beside its point where it hides neither a point, a whisker nor another name."""
    from matplotlib.transforms import Bbox

    spots: list[tuple[float, float]] = [tuple(axes.transData.transform(point).tolist()) for _, _, point in points]
    taken = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in spots]
    for ends_x, ends_y in whiskers:
        (x0, y0), (x1, y1) = axes.transData.transform(list(zip(ends_x, ends_y, strict=True)))
        taken.append(Bbox([[x0 - 3, y0 - 3], [x1 + 3, y1 + 3]]))
    for (title, colour, point), spot in zip(points, spots, strict=True):
        label = axes.annotate(
            title,
            point,
            (0, 0),
            textcoords="offset points",
            color=INK,
            fontsize=LABEL_SIZE,
            fontweight="bold",
            parse_math=False,
            annotation_clip=False,
        )
        size = label.get_window_extent()
        box = _place(size.width * 1.05, size.height, spot, taken, axes.get_window_extent())
        taken.append(box)
        scale = 72 / axes.figure.dpi
        label.set_position(((box.x0 - spot[0]) * scale, (box.y0 - spot[1]) * scale))
        _lead(axes, spot, box, colour)


def _place(width: float, height: float, spot: Sequence[float], taken: Sequence[Bbox], frame: Bbox) -> Bbox:
    def cost(box: Bbox) -> float:
        crowded = sum(_shared(box, other) for other in taken)
        return crowded + 2 * (box.width * box.height - _shared(box, frame))

    return min(_candidates(width, height, spot), key=cost)  # the first of the cheapest, and those go from near to far


def _candidates(width: float, height: float, spot: Sequence[float]) -> Iterator[Bbox]:
    from matplotlib.transforms import Bbox

    around = [(0.0, -0.5), (-1.0, -0.5), (-0.5, 0.0), (-0.5, -1.0), *product((0.0, -1.0), (0.0, -1.0))]
    signs = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]
    for gap in (10.0, 18.0, 30.0, 46.0, 66.0):
        for (right, up), (x, y) in zip(around, signs, strict=True):
            yield Bbox.from_bounds(spot[0] + right * width + x * gap, spot[1] + up * height + y * gap, width, height)


def _shared(one: Bbox, other: Bbox) -> float:
    width: float = min(one.x1, other.x1) - max(one.x0, other.x0)
    height: float = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)


def _lead(axes: Axes, spot: Sequence[float], box: Bbox, colour: str) -> None:
    """Tie a name to its point by a line when it stands away from it."""
    end = (min(max(spot[0], box.x0), box.x1), min(max(spot[1], box.y0), box.y1))
    if abs(end[0] - spot[0]) + abs(end[1] - spot[1]) > 24:
        ends = axes.transData.inverted().transform([spot, end])
        axes.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=0.7, scalex=False, scaley=False)


def _label_ends(axes: Axes, ends: Sequence[tuple[str, str, tuple[float, float]]]) -> None:
    """Write the names right of the lines' ends, in their order, a line's height apart."""
    longest = max(len(title) for title, _, _ in ends)
    left, bottom, _, height = axes.get_position().bounds
    axes.set_position((left, bottom, max(0.4, 0.93 - left - 0.0215 * longest), height))
    low, high = axes.get_ylim()
    step = (high - low) * 0.066
    floor = low
    count = len(ends)
    end = axes.get_xlim()[1]
    for rank, (title, colour, point) in enumerate(sorted(ends, key=lambda end: end[2][1])):
        at = min(max(point[1], floor), high - (count - 1 - rank) * step)
        floor = at + step
        shift = (axes.transData.transform((end, at)) - axes.transData.transform(point)) * 72 / axes.figure.dpi
        axes.annotate(
            title,
            point,
            (shift[0] + LABEL_GAP, shift[1]),
            textcoords="offset points",
            color=INK,
            fontsize=LABEL_SIZE,
            fontweight="bold",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1.2, "shrinkA": 1.5, "shrinkB": 3},
            parse_math=False,
            annotation_clip=False,
        )


def to_svg(figure: Figure, name: str, description: str) -> str:
    """An ``<svg>`` element to be set inside the page; every identifier begins with the chart's name."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ET.fromstring(buffer.getvalue())
    prefix = re.sub(r"[^A-Za-z0-9]+", "-", name)
    for element in root.iter():
        _clean(element, prefix)
    for group in root.findall("defs"):
        for style in group.findall("style"):  # it would style the whole page
            group.remove(style)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", description)
    return ET.tostring(root, encoding="unicode")


def _clean(element: Any, prefix: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        plain = key.rpartition("}")[2]
        text = re.sub(r"url\(#", f"url(#{prefix}-", value)
        if plain == "id":
            text = f"{prefix}-{text}"
        elif plain == "href":
            text = f"#{prefix}-{text.removeprefix('#')}"
        elif plain == "style":
            text = re.sub(r"(font:[^;]*?px) [^;]*", rf"\1 {FONT}", text)
            for stand_in, variable in VARIABLES.items():
                text = text.replace(stand_in, variable)
        element.set(plain, text)
