"""A gate for continuous integration: does a measured model keep what was promised?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from safer_clip.errors import ConfigError
from safer_clip.results import (
    BASE,
    SAFE_DIRECTIONS,
    UNSAFE_DIRECTIONS,
    Direction,
    MethodResults,
    Results,
    RetrievalScores,
)


@dataclass(frozen=True)
class Thresholds:
    """What must hold; ``None`` is not looked at.

    Attributes:
        max_unsafe_rate: unsafe queries whose first answer is unsafe, percent, in each direction of each benchmark: one
            direction alone can be had by ruining the model.
        max_utility_drop: points that R@1 of safe queries, in each direction, and the zero-shot mean may lie below the base
            model's.
        min_redirection: R@1 of the safe partner of unsafe queries, percent, in each direction.
    """

    max_unsafe_rate: float | None = None
    max_utility_drop: float | None = None
    min_redirection: float | None = None


@dataclass(frozen=True)
class Check:
    """One figure against its threshold."""

    name: str
    value: float
    limit: float
    at_most: bool

    @property
    def passed(self) -> bool:
        """Whether it holds; equality does."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        """A line for a log."""
        verdict = "ok  " if self.passed else "MISS"
        return f"{verdict} {self.name}: {self.value:.2f}, {'at most' if self.at_most else 'at least'} {self.limit:g}"


@dataclass(frozen=True)
class Verdict:
    """All checks of a model."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)

    @property
    def lines(self) -> list[str]:
        """One line a check, and a summary."""
        missed = sum(not check.passed for check in self.checks)
        return [
            *map(str, self.checks),
            f"{missed} of {len(self.checks)} thresholds missed" if missed else "all thresholds hold",
        ]


def check_thresholds(results: Results, thresholds: Thresholds, method: str | None = None) -> Verdict:
    """Compare a method's figures with thresholds.

    Args:
        results: with the base model under ``"clip"`` if a drop is to be judged.
        thresholds: at least one.
        method: key in the results; by default the last.

    Raises:
        ConfigError: there is nothing to check, no such method, or a figure that a threshold needs was not measured.
    """
    if thresholds == Thresholds():
        raise ConfigError("name at least one threshold; a gate without one lets everything through")
    key = method or list(results.methods)[-1]
    if key not in results.methods:
        raise ConfigError(f"the results have no method {key!r}; they have {', '.join(results.methods)}")
    found = results.methods[key]
    if not found.retrieval:
        raise ConfigError(f"the results hold no retrieval figures of {key}")
    checks: list[Check] = []
    if thresholds.max_unsafe_rate is not None:
        checks += _check_unsafe_rates(found, thresholds.max_unsafe_rate)
    if thresholds.min_redirection is not None:
        checks += _check_redirection(found, thresholds.min_redirection)
    if thresholds.max_utility_drop is not None:
        checks += _check_drops(found, _find_base(results, key), thresholds.max_utility_drop)
    return Verdict(tuple(checks))


def _check_unsafe_rates(found: MethodResults, limit: float) -> Iterator[Check]:
    for benchmark, scores in found.retrieval.items():
        for direction in UNSAFE_DIRECTIONS:
            rate = _find_scores(scores, direction, benchmark).unsafe_rate
            if rate is None:
                raise ConfigError(f"{benchmark} has no unsafe rate for {direction}")
            yield Check(f"unsafe rate, {benchmark} {direction}", rate, limit, at_most=True)


def _check_redirection(found: MethodResults, limit: float) -> Iterator[Check]:
    for benchmark, scores in found.retrieval.items():
        for direction in UNSAFE_DIRECTIONS:
            found_scores = _find_scores(scores, direction, benchmark)
            yield Check(f"redirection R@1, {benchmark} {direction}", found_scores.recall_1, limit, at_most=False)


def _check_drops(found: MethodResults, base: MethodResults, limit: float) -> Iterator[Check]:
    for benchmark, scores in found.retrieval.items():
        for direction in SAFE_DIRECTIONS:
            before = _find_scores(base.retrieval[benchmark], direction, benchmark).recall_1
            drop = before - _find_scores(scores, direction, benchmark).recall_1
            yield Check(f"utility drop, {benchmark} {direction} R@1", drop, limit, at_most=True)
    if "mean" in base.zero_shot and "mean" in found.zero_shot:
        drop = base.zero_shot["mean"] - found.zero_shot["mean"]
        yield Check("utility drop, zero-shot mean", drop, limit, at_most=True)


def _find_scores(scores: Mapping[Direction, RetrievalScores], direction: Direction, benchmark: str) -> RetrievalScores:
    if direction not in scores:
        raise ConfigError(f"{direction} was not measured on {benchmark}, which lacks pictures; a gate needs all directions")
    return scores[direction]


def _find_base(results: Results, key: str) -> MethodResults:
    base = results.methods.get(BASE)
    if base is None or key == BASE:
        raise ConfigError("a utility drop needs the base model beside the tuned one: evaluate with --base")
    absent = set(results.methods[key].retrieval) - set(base.retrieval)
    if absent:
        raise ConfigError(f"the base model was not measured on {', '.join(sorted(absent))}")
    return base
