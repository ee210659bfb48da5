"""The methods by their names: those that train adapters, and those that edit weights without any training.

A new method is one file, in :mod:`safer_clip.objectives` or :mod:`safer_clip.editing`, and its entry in a table here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from safer_clip.curriculum import PAPER_SHARES
from safer_clip.editing import Edit, ProjectionEdit, UwmEdit
from safer_clip.errors import ConfigError
from safer_clip.models.lora import SAFE_CLIP_TARGETS, LoraSettings
from safer_clip.objectives import (
    ClipPlusObjective,
    HysacObjective,
    Objective,
    SafeClipObjective,
    SaferClipObjective,
    SaferPlusObjective,
    ShieldClipObjective,
)

PairingName = Literal["nearest", "own", "nearest_image", "nearest_both", "mixture"]
"""The names of :data:`~safer_clip.pairing.PAIRINGS`."""
Settings = Mapping[str, float | str | Sequence[float]]
"""Fields of an objective or an edit: a number or a switch, a word of several, or some numbers."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of safety tuning that trains adapters.

    Attributes:
        name: on the command line and in results.
        title: in tables.
        source: where it comes from.
        objective: dataclass of its :class:`~safer_clip.objectives.Objective`, whose fields are the method's settings.
        preset: fields of the objective that make this method of it.
        pairing: what an unsafe item is redirected to, such as its nearest safe caption, or its own quadruplet's.
        curriculum: share of the pairs in the first epochs; empty for all at once.
        learning_rate: the paper's.
        epochs: the paper's.
        batch_size: the paper's.
        lora: the paper's adapters.
        space: where its objective compares: by cosine, or in hyperbolic space, where its objective has a ``curvature``.
    """

    name: str
    title: str
    source: str
    objective: type[Any]
    preset: Settings = field(default_factory=dict)
    pairing: PairingName = "own"
    curriculum: tuple[float, ...] = ()
    learning_rate: float = 1e-4
    epochs: int = 9
    batch_size: int = 48
    lora: LoraSettings = field(default_factory=LoraSettings)
    space: Literal["cosine", "lorentz"] = "cosine"


@dataclass(frozen=True, slots=True)
class EditMethod:
    """A method that edits the weights of a model once, without training.

    Attributes:
        name: on the command line and in results.
        title: in tables.
        source: where it comes from.
        edit: dataclass of its :class:`~safer_clip.editing.Edit`, whose fields are the method's settings.
        pairing: which safe item an unsafe one is compared with.
    """

    name: str
    title: str
    source: str
    edit: type[Any]
    pairing: PairingName = "own"


_SAFE_CLIP = Method(
    "safe_clip",
    "Safe-CLIP",
    "arXiv 2311.16254",
    SafeClipObjective,
    # the authors' code has 1e-3 as its default; this is SafeR-CLIP's, not tuned yet
    learning_rate=1e-4,
    batch_size=128,
    lora=LoraSettings(rank=16, alpha=1, dropout=0.1, targets=SAFE_CLIP_TARGETS),
)

METHODS = {
    method.name: method
    for method in (
        Method("clip_plus", "CLIP+", "arXiv 2511.16743", ClipPlusObjective),
        _SAFE_CLIP,
        replace(_SAFE_CLIP, name="safe_clip_code", title="Safe-CLIP (code)", preset={"live_reference": True}),
        Method("safer_clip", "SafeR-CLIP", "arXiv 2511.16743", SaferClipObjective, {}, "nearest", PAPER_SHARES),
        # 50 epochs at most with patience 5 in the paper; there is no early stopping here
        Method(
            "hysac",
            "HySAC",
            "arXiv 2503.12127",
            HysacObjective,
            batch_size=32,
            lora=_SAFE_CLIP.lora,
            space="lorentz",
        ),
        Method("safer_plus", "SafeR-CLIP+", "this project", SaferPlusObjective, {}, "nearest", PAPER_SHARES),
        Method("shield_clip", "ShieldCLIP", "arXiv 2609.39688", ShieldClipObjective, batch_size=128),
    )
}

EDITS = {
    method.name: method
    for method in (
        EditMethod("uwm", "UWM", "arXiv 2503.11742", UwmEdit),
        EditMethod("projection", "Projection", "arXiv 2410.12761", ProjectionEdit, pairing="nearest"),
    )
}


def find_method(name: str) -> Method | EditMethod:
    """Return a method by its name.

    Raises:
        ConfigError: there is none of that name; says which there are.
    """
    known: dict[str, Method | EditMethod] = {**METHODS, **EDITS}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"there is no method {name!r}; {hint}there are {', '.join(known)}")


def find_trained(name: str) -> Method:
    """Return a method that trains adapters.

    Raises:
        ConfigError: there is none of that name, or it edits weights without training.
    """
    method = find_method(name)
    if isinstance(method, EditMethod):
        raise ConfigError(f"{method.title} trains nothing; methods that do are {', '.join(METHODS)}")
    return method


def build_objective(method: Method, settings: Settings) -> Objective:
    """Build the method's objective with some of its fields set.

    Raises:
        ConfigError: a setting is not one of its fields, not as many numbers as the field holds, or none of its words.
    """
    objective: Objective = _build(method.objective, method.title, {**method.preset, **settings})
    return objective


def build_edit(method: EditMethod, settings: Settings) -> Edit:
    """Build the method's edit with some of its fields set; raises as :func:`build_objective`."""
    edit: Edit = _build(method.edit, method.title, settings)
    return edit


def _build(kind: type[Any], title: str, settings: Settings) -> Any:
    known = [field.name for field in fields(kind)]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ConfigError(f"{title} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    defaults, types = kind(), get_type_hints(kind)
    for name, value in settings.items():
        if get_origin(types[name]) is Literal:
            _check_word(f"{title}'s setting {name}", value, get_args(types[name]))
        else:
            _check_numbers(f"{title}'s setting {name}", value, getattr(defaults, name))
    return kind(**settings)


def _check_word(what: str, value: Any, words: Sequence[str]) -> None:
    if value not in words:
        raise ConfigError(f"{what} is one of {', '.join(words)}, not {value}")


def _check_numbers(what: str, value: Any, default: Any) -> None:
    if isinstance(value, str) or np.shape(value) != np.shape(default):
        raise ConfigError(f"{what} takes {np.size(default)} number(s), got {value}")
