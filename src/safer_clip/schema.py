"""What every part of a results file is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]
"""A 95 % bootstrap interval, in the unit of its figure."""

Direction = Literal["T->V", "V->T", "T*->V", "V*->T"]


STRICT = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)
"""Of every part: unknown keys are refused, and nothing is changed afterwards."""


class Part(BaseModel):
    """A part of a results file."""

    model_config = STRICT
