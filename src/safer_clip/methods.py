"""The methods that can be trained, each with the settings that its paper gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Literal

import numpy as np

from safer_clip.curriculum import PAPER_SHARES
from safer_clip.errors import ConfigError
from safer_clip.models.lora import SAFE_CLIP_TARGETS, LoraSettings
from safer_clip.objectives import ClipPlusObjective, Objective, SafeClipObjective, SaferClipObjective

PairingName = Literal["nearest", "own"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of safety tuning.

    Attributes:
        name: on the command line and in results.
        title: in tables.
        source: where it comes from.
        objective: class of its objective; its fields are the objective's settings.
        pairing: what an unsafe item is redirected to: its nearest safe caption, or its own quadruplet's.
        curriculum: share of the pairs in the first epochs; empty for all at once.
        learning_rate: the paper's.
        epochs: the paper's.
        batch_size: the paper's.
        lora: the paper's adapters.
    """

    name: str
    title: str
    source: str
    objective: type[SaferClipObjective] | type[SafeClipObjective] | type[ClipPlusObjective]
    pairing: PairingName = "own"
    curriculum: tuple[float, ...] = ()
    learning_rate: float = 1e-4
    epochs: int = 9
    batch_size: int = 48
    lora: LoraSettings = field(default_factory=LoraSettings)


METHODS = {
    method.name: method
    for method in (
        Method("clip_plus", "CLIP+", "arXiv 2511.16743", ClipPlusObjective),
        Method(
            "safe_clip",
            "Safe-CLIP",
            "arXiv 2311.16254",
            SafeClipObjective,
            # the authors' code has 1e-3 as its default; this is SafeR-CLIP's, not tuned yet
            learning_rate=1e-4,
            batch_size=128,
            lora=LoraSettings(rank=16, alpha=1, dropout=0.1, targets=SAFE_CLIP_TARGETS),
        ),
        Method("safer_clip", "SafeR-CLIP", "arXiv 2511.16743", SaferClipObjective, "nearest", PAPER_SHARES),
    )
}


def find_method(name: str) -> Method:
    """Return a method by its name.

    Raises:
        ConfigError: there is none of that name; says which there are.
    """
    if name in METHODS:
        return METHODS[name]
    near = get_close_matches(name, METHODS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"there is no method {name!r}; {hint}there are {', '.join(METHODS)}")


def build_objective(method: Method, settings: Mapping[str, float | Sequence[float]]) -> Objective:
    """Build the method's objective with some of its fields set.

    Raises:
        ConfigError: a setting is not one of its fields, or not as many numbers as the field holds.
    """
    known = [field.name for field in fields(method.objective)]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ConfigError(f"{method.title} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    defaults = method.objective()
    for name, value in settings.items():
        wanted = np.size(getattr(defaults, name))
        if np.shape(value) != np.shape(getattr(defaults, name)):
            raise ConfigError(f"{method.title}'s setting {name} takes {wanted} number(s), got {value}")
    return method.objective(**settings)  # type: ignore[arg-type]
