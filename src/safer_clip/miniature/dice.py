"""Chance that falls the same way on every machine and with every library version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws from a stream that a name and a number determine.

    Only :meth:`random.Random.random` is used, the one method whose sequence Python promises never to change; a stream is
    seeded by text, so scenes can be drawn in any order, by any number of processes.
    """

    __slots__ = ("_draw",)

    def __init__(self, *key: object) -> None:
        self._draw = random.Random("/".join(map(str, key))).random

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._draw() < probability

    def between(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return low + int(self._draw() * (high - low + 1))

    def choose(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self._draw() * len(options))]

    def weigh(self, options: Sequence[tuple[T, float]]) -> T:
        """One of ``(option, weight)`` pairs whose weights sum to 1."""
        left = self._draw()
        for option, weight in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][0]
