"""Errors for people: what was wrong, where, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

    from safer_clip.data.problems import Problem

SHOWN_PROBLEMS = 20


class SaferClipError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(SaferClipError):
    """A setting, an option or a path cannot be used."""


class DataError(SaferClipError):
    """An input cannot be read as it is; lists everything that is wrong with it.

    Attributes:
        problems: every problem that was found, warnings included.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Counts by kind with advice, then the first problems one by one, errors before warnings."""
        ordered = sorted(self.problems, key=lambda problem: problem.severity != "error")
        lines = [f"{_count_severities(self.problems)}; nothing was read.", *_count_kinds(ordered)]
        lines += [f"  {problem}" for problem in ordered[:SHOWN_PROBLEMS]]
        if len(ordered) > SHOWN_PROBLEMS:
            lines.append(f"  ... and {len(ordered) - SHOWN_PROBLEMS} more")
        return "\n".join(lines)


@contextmanager
def need_extra(package: str, extra: str) -> Iterator[None]:
    """Turn the absence of an optional package into a sentence that says what to install.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{package} is not installed ({error}); pip install 'safer-clip[{extra}]'") from error


def list_fields(error: ValidationError) -> list[str]:
    """One line for every field that a typed object refused: where, and why."""
    return [f"  {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]


def _count_severities(problems: Sequence[Problem]) -> str:
    counts = Counter(problem.severity for problem in problems)
    parts = [f"{counts[name]} {name}{'s' * (counts[name] != 1)}" for name in counts]
    return " and ".join(sorted(parts, key=lambda part: "error" not in part)) or "No problems"


def _count_kinds(problems: Sequence[Problem]) -> list[str]:
    counts = Counter(problem.kind for problem in problems)
    return [f"  {count} x {kind}: {kind.advice}" for kind, count in counts.items()]
