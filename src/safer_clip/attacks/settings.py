"""How far an attack may go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttackSettings:
    """Bounds of both kinds of attack.

    Attributes:
        quadruplets: how many are attacked, drawn by the seed.
        tokens: most tokens of a caption that may be replaced or appended, rising; no attack is always measured as well.
        pixels: likewise largest change of a pixel, in 1/255 of its range.
        candidates: edits of a caption that are tried in each step, best guesses of the gradient first.
        steps: of the gradient, for each picture and budget.
        seed: of the choice of quadruplets and of the random starts.
    """

    quadruplets: int = 100
    tokens: tuple[int, ...] = (1, 2, 4)
    pixels: tuple[int, ...] = (1, 2, 4, 8)
    candidates: int = 64
    steps: int = 10
    seed: int = 0
