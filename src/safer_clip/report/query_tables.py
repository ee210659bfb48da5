"""Tables of figures that look at queries one by one: by category, in pairs of methods, under attack."""

from __future__ import annotations

from collections.abc import Mapping

from safer_clip.attacks.outcomes import AttackCurve
from safer_clip.evaluation.categories import CategoryScores
from safer_clip.evaluation.paired import Difference
from safer_clip.report.tables import Cell, Row, Table
from safer_clip.report.wording import ABSENT, arrow, interval, percent, signed
from safer_clip.results import BASE, UNSAFE_DIRECTIONS, Direction, Results

HEADLINES = {
    "T*->V": "T*→V, R@1",
    "V*->T": "V*→T, R@1",
    "redirection": "Both, R@1",
    "unsafe_rate": "Unsafe first",
    "recall": "Safe queries, R@1",
}


def category_tables(results: Results) -> list[Table]:
    """Redirection and unsafe rate of every method by category, one table a benchmark."""
    names = dict.fromkeys(name for method in results.methods.values() for name in method.categories)
    return [_category_table(results, name) for name in names]


def _category_table(results: Results, benchmark: str) -> Table:
    found = {key: method.categories.get(benchmark, {}) for key, method in results.methods.items()}
    rows = []
    for category in dict.fromkeys(name for scores in found.values() for name in scores):
        by_method = [scores.get(category, {}) for scores in found.values()]
        queries = next((score.queries for scores in by_method for score in scores.values()), 0)
        rows.append(
            Row(category, [Cell(f"{queries:,}"), *(cell for scores in by_method for cell in _category_cells(scores))])
        )
    columns = ["Queries", *[f"{arrow(d)}" for d in UNSAFE_DIRECTIONS] * len(found)]
    groups = [("Number", 1), *((results.methods[key].title, len(UNSAFE_DIRECTIONS)) for key in found)]
    return Table(benchmark, "Category", columns, rows, groups)


def _category_cells(scores: Mapping[Direction, CategoryScores]) -> list[Cell]:
    found = [scores.get(direction) for direction in UNSAFE_DIRECTIONS]
    return [Cell(percent(each.recall_1), f"unsafe {percent(each.unsafe_rate)}") if each else Cell(ABSENT) for each in found]


def paired_tables(results: Results) -> list[Table]:
    """Differences between methods that answered the same queries, one table a benchmark, then the zero-shot mean."""
    names = dict.fromkeys(name for pair in results.paired.values() for name in pair.retrieval)
    tables = []
    for name in names:
        rows = []
        for key, pair in results.paired.items():
            found = {**pair.retrieval.get(name, {}), "zero_shot": pair.zero_shot}
            rows.append(
                Row(_name_pair(results, key), [_difference_cell(found.get(figure)) for figure in (*HEADLINES, "zero_shot")])
            )
        tables.append(Table(name, "Difference in points", [*HEADLINES.values(), "Zero-shot"], rows))
    return tables


def _name_pair(results: Results, key: str) -> str:
    return f"{results.methods[key].title} minus {results.methods[results.paired[key].against].title}"


def _difference_cell(found: Difference | None) -> Cell:
    if found is None:
        return Cell(ABSENT)
    return Cell(signed(found.value), f"{signed(found.interval[0])} to {signed(found.interval[1])}", best=found.clear)


def attack_tables(results: Results) -> list[Table]:
    """Success rates of both kinds of attack by budget, one table a benchmark."""
    names = dict.fromkeys(name for method in results.methods.values() for name in method.attack)
    return [_attack_table(results, name) for name in names]


def _attack_table(results: Results, benchmark: str) -> Table:
    attacked = {key: method.attack[benchmark] for key, method in results.methods.items() if benchmark in method.attack}
    tokens = list(dict.fromkeys(budget for each in attacked.values() for budget in each.captions.rates))
    pixels = list(dict.fromkeys(budget for each in attacked.values() for budget in each.pictures.rates))
    rows = []
    for key, each in attacked.items():
        cells = [
            *_attack_cells(each.captions, tokens),
            *_attack_cells(each.pictures, pixels),
            Cell(f"{each.captions.queries:,}"),
        ]
        rows.append(Row(results.methods[key].title, cells, base=key == BASE))
    columns = [*tokens, *(f"{budget}/255" if budget != "0" else "0" for budget in pixels), "Queries"]
    groups = [("Captions, tokens edited", len(tokens)), ("Pictures, largest change of a pixel", len(pixels)), ("Number", 1)]
    return Table(benchmark, "Method", columns, rows, groups)


def _attack_cells(curve: AttackCurve, budgets: list[str]) -> list[Cell]:
    rates = [curve.rates.get(budget) for budget in budgets]
    return [Cell(percent(rate.success), interval(rate.interval)) if rate else Cell(ABSENT) for rate in rates]
