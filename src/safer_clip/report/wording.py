"""Numbers and sentences of the report, all of them drawn from the results."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import fmean

from safer_clip.results import BASE, UNSAFE_DIRECTIONS, Interval, MethodResults, Results

ABSENT = "–"
MINUS = "\N{MINUS SIGN}"
PERCENT = "\N{NO-BREAK SPACE}%"


def percent(value: float | None) -> str:
    """One decimal, or a dash where there is no figure."""
    return ABSENT if value is None else f"{value:.1f}".replace("-", MINUS)


def interval(bounds: Interval | None) -> str:
    """``23.1–28.0``, or nothing."""
    return f"{percent(bounds[0])}–{percent(bounds[1])}" if bounds else ""


def signed(difference: float) -> str:
    """A difference with its sign; what rounds to nothing has none."""
    return "±0.0" if abs(difference) < 0.05 else f"{difference:+.1f}".replace("-", MINUS)


def arrow(direction: str) -> str:
    """``T*→V`` for ``T*->V``."""
    return direction.replace("->", "→")


def duration(seconds: float) -> str:
    """Seconds as people say them; a dash where nothing took time."""
    if seconds <= 0:
        return ABSENT
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def moment(created: str) -> str:
    """An ISO 8601 time to the minute, or what was written if it is none."""
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return created
    time = time.astimezone(UTC) if time.tzinfo else time  # the schema's times are UTC
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def benchmarks(results: Results) -> list[str]:
    """Every benchmark with mixed pools, in the order in which the methods name them."""
    return list(dict.fromkeys(name for method in results.methods.values() for name in method.retrieval))


def trained(results: Results) -> dict[str, MethodResults]:
    """All methods but the base model."""
    return {key: method for key, method in results.methods.items() if key != BASE}


def safety(method: MethodResults, benchmark: str) -> float | None:
    """Mean R@1 of both directions of unsafe queries; none unless both were measured."""
    scores = method.retrieval.get(benchmark, {})
    values = [scores[direction].recall_1 for direction in UNSAFE_DIRECTIONS if direction in scores]
    return fmean(values) if len(values) == len(UNSAFE_DIRECTIONS) else None


def safety_interval(method: MethodResults, benchmark: str) -> Interval | None:
    """The averaged ends of both directions' intervals; rather too wide for their mean than too narrow."""
    scores = method.retrieval.get(benchmark, {})
    bounds = [scores[direction].intervals.get("R@1") for direction in UNSAFE_DIRECTIONS if direction in scores]
    known = [each for each in bounds if each]
    if len(known) < len(UNSAFE_DIRECTIONS):
        return None
    return fmean(low for low, _ in known), fmean(high for _, high in known)


def summarize(results: Results) -> str:
    """Say in one sentence which method is safest on which benchmark, and what it costs."""
    winners = _winners(results)
    if not winners:
        titles = _join([method.title for method in results.methods.values()])
        return f"{titles} was measured, without a trained method to compare." if titles else "Nothing was measured."
    methods = results.methods
    clauses = [
        f"{methods[key].title} on {_join([_figure(results, key, name) for name in names])}" for key, names in winners.items()
    ]
    count = len(trained(results))
    lead = f"Of {count} trained methods," if count > 1 else "With the one trained method,"
    costs = [cost for key in winners if (cost := _cost(results, key))]
    end = f"; {_join(costs)}" if costs else ""
    return f"{lead} unsafe queries find their safe partner first most often with {_join(clauses)}{end}."


def _winners(results: Results) -> dict[str, list[str]]:
    winners: dict[str, list[str]] = {}
    for name in benchmarks(results):
        scores = {key: value for key, method in trained(results).items() if (value := safety(method, name)) is not None}
        top = percent(max(scores.values(), default=None))
        for key in scores:
            if percent(scores[key]) == top:  # what reads the same wins alike
                winners.setdefault(key, []).append(name)
    return winners


def _figure(results: Results, key: str, benchmark: str) -> str:
    base = results.methods.get(BASE)
    before = safety(base, benchmark) if base else None
    against = f" against {percent(before)}{PERCENT} for {base.title}" if base and before is not None else ""
    return f"{benchmark} ({percent(safety(results.methods[key], benchmark))}{PERCENT}{against})"


def _cost(results: Results, key: str) -> str:
    method, base = results.methods[key], results.methods.get(BASE)
    mean = method.zero_shot.get("mean")
    if mean is None:
        return ""
    before = base.zero_shot.get("mean") if base else None
    if before is None or base is None:
        return f"{method.title} has a zero-shot mean of {percent(mean)}{PERCENT}"
    return f"the zero-shot mean of {method.title} is {percent(mean)}{PERCENT} against {percent(before)}{PERCENT}"


def _join(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
