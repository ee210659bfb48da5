"""The report's tables, as rows of cells that the template only has to set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from safer_clip.report.wording import (
    ABSENT,
    arrow,
    benchmarks,
    duration,
    interval,
    percent,
    signed,
    trained,
)
from safer_clip.results import (
    BASE,
    SAFE_DIRECTIONS,
    UNSAFE_DIRECTIONS,
    Direction,
    MethodResults,
    Results,
    RetrievalScores,
)

FULL_TINT_POINTS = 20.0
MAX_TINT = 0.34
RECALLS = {"R@1": "recall_1", "R@5": "recall_5", "R@10": "recall_10", "R@20": "recall_20"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: its figure.
        note: smaller, below: an interval or a difference.
        title: shown when pointed at.
        best: whether it is set in bold.
        tint: how much better than the base model, from -1 to 1.
    """

    text: str
    note: str = ""
    title: str = ""
    best: bool = False
    tint: float = 0.0

    @property
    def style(self) -> str:
        """CSS of the tint; Okabe and Ito's blue is better, their vermilion worse."""
        if abs(self.tint) < 0.01:
            return ""
        colour = "0,114,178" if self.tint > 0 else "213,94,0"
        return f"background-color:rgba({colour},{abs(self.tint) * MAX_TINT:.3f})"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its heading, its cells, and whether it is the base model's."""

    head: str
    cells: list[Cell]
    base: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table: caption, heading of the first column, headings over groups of columns and over each, and rows."""

    caption: str
    corner: str
    columns: list[str]
    rows: list[Row]
    groups: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    group: str
    read: Callable[[MethodResults], tuple[float | None, str]]
    better: int = 0
    write: Callable[[float | None], str] = percent


def method_tables(results: Results) -> list[Table]:
    """One table per benchmark: safety, utility and cost of every method, the base model first."""
    return [_method_table(results, name) for name in benchmarks(results)]


def _method_table(results: Results, benchmark: str) -> Table:
    columns = [*_retrieval_columns(benchmark), *_other_columns()]
    columns = [
        column for column in columns if any(column.read(method)[0] is not None for method in results.methods.values())
    ]
    keys = sorted(results.methods, key=lambda key: key != BASE)
    best = [_best(results, column) for column in columns]
    rows = []
    for key in keys:
        cells = []
        for column, top in zip(columns, best, strict=True):
            value, note = column.read(results.methods[key])
            text = column.write(value)
            cells.append(Cell(text, note, best=key != BASE and text == top))
        rows.append(Row(results.methods[key].title, cells, base=key == BASE))
    groups = [(name, sum(column.group == name for column in columns)) for name in dict.fromkeys(c.group for c in columns)]
    return Table(benchmark, "Method", [column.name for column in columns], rows, groups)


def _retrieval_columns(benchmark: str) -> list[_Column]:
    def read(direction: Direction, name: str, attribute: str) -> Callable[[MethodResults], tuple[float | None, str]]:
        def value(method: MethodResults) -> tuple[float | None, str]:
            scores = method.retrieval.get(benchmark, {}).get(direction)
            return (getattr(scores, attribute), interval(scores.intervals.get(name))) if scores else (None, "")

        return value

    def changed(direction: Direction) -> Callable[[MethodResults], tuple[float | None, str]]:
        def value(method: MethodResults) -> tuple[float | None, str]:
            found = method.changed_answers.get(benchmark, {}).get(direction)
            return (found.changed, interval(found.interval)) if found else (None, "")

        return value

    safe = "Safety: R@1, higher is better"
    first = "Unsafe first, lower is better"
    use = "Utility, higher is better"
    return [
        *[_Column(arrow(d), safe, read(d, "R@1", "recall_1"), 1) for d in UNSAFE_DIRECTIONS],
        *[_Column(arrow(d), first, read(d, "unsafe_rate", "unsafe_rate"), -1) for d in UNSAFE_DIRECTIONS],
        *[_Column(arrow(d), "Harmless changed, lower is better", changed(d), -1) for d in SAFE_DIRECTIONS],
        *[_Column(arrow(d), use, read(d, "R@1", "recall_1"), 1) for d in SAFE_DIRECTIONS],
    ]


def _other_columns() -> list[_Column]:
    def zero_shot(method: MethodResults) -> tuple[float | None, str]:
        return method.zero_shot.get("mean"), interval(method.zero_shot_intervals.get("mean"))

    def whole(value: float | None) -> str:
        return f"{value:.2f}" if value else ABSENT

    return [
        _Column("Zero-shot", "Utility, higher is better", zero_shot, 1),
        _Column("Text", "Drift", lambda method: (method.drift.text or None, ""), write=whole),
        _Column("Vision", "Drift", lambda method: (method.drift.vision or None, ""), write=whole),
        _Column("Time", "Training", lambda method: (method.train_seconds or None, ""), write=lambda s: duration(s or 0.0)),
    ]


def _best(results: Results, column: _Column) -> str | None:
    values = [value for method in trained(results).values() if (value := column.read(method)[0]) is not None]
    if not column.better or len(values) < 2:
        return None
    return column.write(max(values) if column.better > 0 else min(values))


def recall_tables(results: Results) -> list[Table]:
    """All recalls of every method and direction: mixed pools, then plain ones."""
    mixed = {key: method.retrieval for key, method in results.methods.items()}
    plain = {key: method.plain_retrieval for key, method in results.methods.items()}
    tables = [_recall_table(results, name, "mixed pools", mixed) for name in _names(mixed)]
    return tables + [_recall_table(results, name, "plain pools", plain) for name in _names(plain)]


def _names(retrieval: Mapping[str, Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for scores in retrieval.values() for name in scores))


def _recall_table(
    results: Results, name: str, pool: str, scores: Mapping[str, Mapping[str, Mapping[Direction, RetrievalScores]]]
) -> Table:
    rows = []
    for key, method in results.methods.items():
        for direction, score in scores[key].get(name, {}).items():
            rows.append(Row(f"{method.title}, {arrow(direction)}", _recall_cells(score), base=key == BASE))
    return Table(f"{name}, {pool}", "Method and direction", [*RECALLS, "Unsafe first", "Queries"], _close_base(rows))


def _recall_cells(score: RetrievalScores) -> list[Cell]:
    cells = [Cell(percent(getattr(score, field)), interval(score.intervals.get(name))) for name, field in RECALLS.items()]
    unsafe = Cell(percent(score.unsafe_rate), interval(score.intervals.get("unsafe_rate")))
    return [*cells, unsafe, Cell(f"{score.queries:,}")]


def _close_base(rows: Sequence[Row]) -> list[Row]:
    """Only the base model's last row is set apart from what follows."""
    last = max((index for index, row in enumerate(rows) if row.base), default=-1)
    return [replace(row, base=index == last) for index, row in enumerate(rows)]


def zero_shot_table(results: Results) -> Table | None:
    """Accuracy by set and method, tinted by the difference from the base model; none if nothing was classified."""
    methods = [method for method in results.methods.values() if method.zero_shot]
    names = list(dict.fromkeys(name for method in methods for name in method.zero_shot))
    if not names:
        return None
    names.sort(key=lambda name: name == "mean")
    base = results.methods.get(BASE)
    rows = [Row(name.replace("_", " "), [_zero_shot_cell(method, base, name) for method in methods]) for name in names]
    return Table("Zero-shot accuracy by set", "Set", [method.title for method in methods], rows)


def _zero_shot_cell(method: MethodResults, base: MethodResults | None, name: str) -> Cell:
    value = method.zero_shot.get(name)
    before = base.zero_shot.get(name) if base else None
    bounds = interval(method.zero_shot_intervals.get(name))
    title = f"95 % interval {bounds}" if bounds else ""
    if value is None or before is None or method is base:
        return Cell(percent(value), title=title)
    difference = value - before
    tint = max(-1.0, min(1.0, difference / FULL_TINT_POINTS))
    return Cell(percent(value), signed(difference), title, tint=tint)


def gallery_encoder_tables(results: Results) -> list[Table]:
    """R@1 of unsafe queries with the gallery encoded by the base model and by the tuned one, by benchmark."""
    sides = {key: method.gallery_encoders for key, method in results.methods.items()}
    return [_gallery_encoder_table(results, name) for name in _names(sides)]


def _gallery_encoder_table(results: Results, benchmark: str) -> Table:
    rows = []
    for method in results.methods.values():
        by_direction = method.gallery_encoders.get(benchmark)
        if by_direction:
            cells = [cell for d in UNSAFE_DIRECTIONS for cell in _encoder_cells(by_direction.get(d, {}))]
            rows.append(Row(method.title, cells))
    columns = ["Base gallery", "Tuned gallery", "Difference"] * 2
    return Table(benchmark, "Method", columns, rows, [(f"{arrow(d)}, R@1", 3) for d in UNSAFE_DIRECTIONS])


def _encoder_cells(values: Mapping[Literal["base", "tuned"], float]) -> list[Cell]:
    base, tuned = values.get("base"), values.get("tuned")
    difference = ABSENT if base is None or tuned is None else signed(tuned - base)
    return [Cell(percent(base)), Cell(percent(tuned)), Cell(difference)]


def quadruplet_tables(results: Results) -> list[Table]:
    """Preferences within quadruplets, and what is left of the base model's geometry, by benchmark."""
    return [_quadruplet_table(results, name) for name in benchmarks(results) if _has_quadruplets(results, name)]


def _has_quadruplets(results: Results, benchmark: str) -> bool:
    return any(benchmark in {*method.safeground, *method.geometry} for method in results.methods.values())


def _quadruplet_table(results: Results, benchmark: str) -> Table:
    rows = []
    for key, method in results.methods.items():
        scores, geometry = method.safeground.get(benchmark), method.geometry.get(benchmark)
        ground = ("text", "image", "group")
        cells = [
            Cell(percent(getattr(scores, name)), interval(scores.intervals.get(name))) if scores else Cell(ABSENT)
            for name in ground
        ]
        kept = ("text_spread", "image_spread", "text_overlap", "image_overlap")
        cells += [Cell(_share(getattr(geometry, name, None))) for name in kept]
        rows.append(Row(method.title, cells, base=key == BASE))
    columns = ["Text", "Image", "Group", "Text", "Image", "Text", "Image"]
    groups = [("SafeGround, higher is better", 3), ("Spread, 1 is unchanged", 2), ("Neighbours kept, 1 is unchanged", 2)]
    return Table(benchmark, "Method", columns, rows, groups)


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def caption_table(results: Results) -> Table | None:
    """Unsafe captions among the base model's captions, by method and benchmark; none if no two models were compared."""
    names = _names({key: method.caption_redirection for key, method in results.methods.items()})
    if not names:
        return None
    rows = []
    for method in results.methods.values():
        if method.caption_redirection:
            scores = [method.caption_redirection.get(name) for name in names]
            rows.append(Row(method.title, [cell for score in scores for cell in _caption_cells(score)]))
    columns = ["Safe partner, R@1", "Unsafe first"] * len(names)
    return Table("Unsafe captions among the base model's captions", "Method", columns, rows, [(name, 2) for name in names])


def _caption_cells(score: RetrievalScores | None) -> list[Cell]:
    if score is None:
        return [Cell(ABSENT), Cell(ABSENT)]
    return [
        Cell(percent(score.recall_1), interval(score.intervals.get("R@1"))),
        Cell(percent(score.unsafe_rate), interval(score.intervals.get("unsafe_rate"))),
    ]


def unsafe_pool_table(results: Results) -> Table | None:
    """Unsafe retrieval rates on real data, by method, source and direction; none if none was measured."""
    sources = list(dict.fromkeys(name for method in results.methods.values() for name in method.unsafe_retrieval))
    if not sources:
        return None
    rows = []
    for key, method in results.methods.items():
        rates = [method.unsafe_retrieval.get(name, {}).get(d) for name in sources for d in UNSAFE_DIRECTIONS]
        cells = [Cell(percent(rate.unsafe_rate), interval(rate.interval)) if rate else Cell(ABSENT) for rate in rates]
        rows.append(Row(method.title, cells, base=key == BASE))
    columns = [arrow(d) for d in UNSAFE_DIRECTIONS] * len(sources)
    return Table("Unsafe first, lower is better", "Method", columns, rows, [(name, 2) for name in sources])


def loss_tables(results: Results) -> list[Table]:
    """The mean of each loss term in each epoch, by method."""
    return [_loss_table(method) for method in results.methods.values() if any(method.loss)]


def _loss_table(method: MethodResults) -> Table:
    terms = list(dict.fromkeys(term for epoch in method.loss for term in epoch))
    rows = [
        Row(str(number), [Cell(f"{epoch[term]:.4f}" if term in epoch else ABSENT) for term in terms])
        for number, epoch in enumerate(method.loss, start=1)
    ]
    return Table(method.title, "Epoch", [term.replace("_", " ") for term in terms], rows)


def variant_tables(scores: Mapping[str, Mapping[str, Mapping[Direction, RetrievalScores]]]) -> list[Table]:
    """R@1 in every direction, and the unsafe rate of unsafe queries, of each variant, by benchmark."""
    tables = []
    for benchmark, variants in scores.items():
        rows = [Row(variant, _variant_cells(by_direction)) for variant, by_direction in variants.items()]
        columns = [arrow(d) for d in (*SAFE_DIRECTIONS, *UNSAFE_DIRECTIONS, *UNSAFE_DIRECTIONS)]
        tables.append(Table(benchmark, "Variant", columns, rows, [("R@1", 4), ("Unsafe first", 2)]))
    return tables


def _variant_cells(scores: Mapping[Direction, RetrievalScores]) -> list[Cell]:
    found: list[tuple[RetrievalScores | None, str, str]] = []
    found += [(scores.get(d), "recall_1", "R@1") for d in (*SAFE_DIRECTIONS, *UNSAFE_DIRECTIONS)]
    found += [(scores.get(d), "unsafe_rate", "unsafe_rate") for d in UNSAFE_DIRECTIONS]
    return [
        Cell(percent(getattr(score, attribute)), interval(score.intervals.get(name))) if score else Cell(ABSENT)
        for score, attribute, name in found
    ]
