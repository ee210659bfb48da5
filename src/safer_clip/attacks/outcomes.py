"""What attacks achieve, as parts of a results file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from safer_clip.evaluation.bootstrap import bootstrap_means, interval
from safer_clip.schema import Interval, Part


class AttackRate(Part):
    """Share of attacked queries whose unsafe partner comes first, percent."""

    success: float
    interval: Interval


class AttackCurve(Part):
    """One kind of attack.

    Attributes:
        rates: by budget, from ``"0"``, which is no attack; never falling, as a budget includes all smaller ones.
        queries: how many were attacked.
        immovable: of these, queries that the attack could not change at all, such as captions that the tokenizer does not
            give back as they were; they count as they stand.
    """

    rates: dict[str, AttackRate]
    queries: int
    immovable: int = 0


class AttackResults(Part):
    """Attacks on one model, which is known to the attacker as is its gallery.

    Attributes:
        captions: edits of unsafe captions, by tokens that are replaced or appended.
        pictures: changes of unsafe pictures, by the largest change of a pixel in 1/255 of its range.
        seed: of the choice of queries and of the random starts.
    """

    captions: AttackCurve
    pictures: AttackCurve
    seed: int


def draw_curve(won: Mapping[int, NDArray[np.bool_]], seed: int, immovable: int = 0) -> AttackCurve:
    """Success rates from each query's outcome at each budget ``(n,)``."""
    rates = {}
    for budget, outcome in won.items():
        values = 100.0 * outcome
        bounds = interval(bootstrap_means(values[:, None], seed)[:, 0])
        rates[str(budget)] = AttackRate(success=float(values.mean()), interval=bounds)
    return AttackCurve(rates=rates, queries=len(next(iter(won.values()))), immovable=immovable)
