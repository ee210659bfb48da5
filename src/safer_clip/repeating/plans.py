"""What is compared: the methods with their settings, and which runs that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safer_clip.config import CompareConfig, DataConfig, TrainConfig, check_settings
from safer_clip.methods import EDITS, METHODS, EditMethod, find_method
from safer_clip.miniature.settings import TRAINING_ROWS, demo_config
from safer_clip.results import BASE
from safer_clip.tuning import MINIATURES

BASE_TITLE = "CLIP"
HOUSE_METHOD = "safer_clip"
"""What others are compared with query by query."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Something to train and measure, with every seed.

    Attributes:
        key: in results and in names of files.
        title: in tables.
        method: of :data:`~safer_clip.methods.METHODS` or :data:`~safer_clip.methods.EDITS`; none is the untouched model.
        changes: settings that win over the method's own.
    """

    key: str
    title: str
    method: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def seeded(self) -> bool:
        """Whether another seed makes another model: not of the untouched one, nor of one edited without training."""
        return self.method is not None and not isinstance(find_method(self.method), EditMethod)


@dataclass(frozen=True, slots=True)
class Run:
    """One variant with one seed."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.variant.key}-{self.seed}"


UNTOUCHED = Variant(BASE, BASE_TITLE)


def name_methods(methods: Sequence[str]) -> list[Variant]:
    """The untouched model and the methods named, ``"all"`` for every one.

    Raises:
        ConfigError: there is no method of a name.
    """
    names = [*METHODS, *EDITS] if list(methods) == ["all"] else [name for name in methods if name != BASE]
    found = [find_method(name) for name in dict.fromkeys(names)]
    return [UNTOUCHED, *(Variant(method.name, method.title, method.name) for method in found)]


def list_runs(variants: Sequence[Variant], seeds: int) -> list[Run]:
    """Every run: seed after seed, so that a comparison that is broken off has whole rounds."""
    return [Run(variant, seed) for seed in range(seeds) for variant in variants if variant.seeded or seed == 0]


def plan_training(config: CompareConfig, run: Run, output: Path) -> TrainConfig:
    """The settings that a run trains with: on the miniature the tuned ones, else the method's own.

    Raises:
        ConfigError: a setting of the comparison does not fit the method.
    """
    method = run.variant.method or ""
    changes = {**config.settings.get(method, {}), **run.variant.changes}
    if config.model == "miniature" and config.data in MINIATURES:
        own = {} if config.data == "miniature" else {"data": config.data}
        return demo_config(method, output, run.seed, config.rows or TRAINING_ROWS, **own, **changes)
    shared = {name: getattr(config, name) for name in DataConfig.model_fields}
    given = shared | changes | {"model": config.model, "method": method, "output": output, "seed": run.seed}
    return check_settings(TrainConfig, given, f" for {method}").resolve()
