"""Tracing the frontier of trained adapters: every strength is measured on the suite, nothing is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from safer_clip.comparison import describe_table, load_suite, read_sets
from safer_clip.config import FrontierConfig, method_of
from safer_clip.environment import describe_context
from safer_clip.errors import ConfigError
from safer_clip.evaluation.directions import judge_directions
from safer_clip.evaluation.frontier import Frontier, FrontierPoint, Utility, measure_curve
from safer_clip.evaluation.scoring import score_zero_shot
from safer_clip.evaluation.suite import Answers, Sides, Suite, classify_sets
from safer_clip.files import write_json
from safer_clip.fingerprints import fingerprint_model
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.sources import locate_model
from safer_clip.models.strength import ScaledAdapter, load_adapter
from safer_clip.reference import encode_table, find_absent
from safer_clip.results import SAFE_DIRECTIONS, UNSAFE_DIRECTIONS
from safer_clip.schema import Direction, Part
from safer_clip.tuning import find_base, load_encoder, read_training

Tell = Callable[[str], None]
Points = dict[str, FrontierPoint]


class FrontierResults(Part):
    """A whole frontier file.

    Attributes:
        schema_version: of this file.
        created: ISO 8601 time, UTC.
        command: how to run it again.
        versions: package versions; ``hardware`` likewise the processor, its cores, memory and accelerator.
        data: by data set its ``rows`` and ``fingerprint``.
        base_model: ``name`` and ``fingerprint`` of the model at strength 0.
        frontier: by method, or by the folder's name where two models are of one method.
    """

    schema_version: Literal[1] = 1
    created: str
    command: str
    versions: dict[str, str]
    hardware: dict[str, str]
    data: dict[str, dict[str, str | int]]
    base_model: dict[str, str]
    frontier: dict[str, Frontier]


def save_frontier(path: Path, results: FrontierResults) -> None:
    """Write a frontier file atomically."""
    write_json(path, results.model_dump(mode="json"))


def trace_models(config: FrontierConfig, tell: Tell = lambda _: None) -> FrontierResults:
    """Trace the frontier of model folders that ``train`` wrote, all from one base model.

    Raises:
        ConfigError: a model, its adapter or the base model is missing, they do not belong together, or a benchmark lacks
            pictures.
        DataError: lists all problems of the data.
    """
    names = _name_models(config.models)
    base = find_base(config.models[0], config.base)
    encoder = load_encoder(base)
    fingerprint = fingerprint_model(encoder.model)
    adapters = {key: load_adapter(encoder, folder) for (key, _), folder in zip(names, config.models, strict=True)}
    suite = load_suite(config, config.seed)
    suite = replace(suite, zero_shot=[*suite.zero_shot, *read_sets(config.zero_shot)])
    check_pictures(suite)
    tell(f"Measuring {base}")
    start = measure_point(encoder, suite, 0.0)
    frontiers = {}
    for key, title in names:
        tell(f"Measuring {title} at {len(config.strengths)} strengths")
        frontiers[key] = trace_frontier(adapters[key], suite, config.strengths, title, {0.0: start})
    return FrontierResults(
        **describe_context(),
        data={name: describe_table(table) for name, table in suite.benchmarks.items()},
        base_model={"name": base, "fingerprint": fingerprint},
        frontier=frontiers,
    )


def trace_frontier(
    adapter: ScaledAdapter, suite: Suite, strengths: Sequence[float], title: str, known: Mapping[float, Points]
) -> Frontier:
    """Measure an adapter at every strength.

    Args:
        adapter: with its base model, which is the same afterwards.
        suite: benchmarks with all pictures; classification sets, if any.
        strengths: 0 is the base model.
        title: the method's.
        known: what some strengths measure, where that is known already.
    """
    traced: list[Points] = []
    for strength in strengths:
        if strength in known:
            traced.append(known[strength])
        else:
            with adapter.at(strength) as encoder:
                traced.append(measure_point(encoder, suite, strength))
    with adapter.at(1.0) as encoder:
        fingerprint = fingerprint_model(encoder.model)
    chance = guess_accuracy(suite)
    curves = {name: measure_curve([points[name] for points in traced], chance) for name in suite.benchmarks}
    return Frontier(title=title, benchmarks=curves, model_fingerprint=fingerprint)


def guess_accuracy(suite: Suite) -> float | None:
    """Zero-shot mean of guessing, percent; none where nothing is classified."""
    return float(np.mean([100 / len(each.prompts) for each in suite.zero_shot])) if suite.zero_shot else None


def measure_point(encoder: DualEncoder, suite: Suite, strength: float) -> Points:
    """Measure a model on every benchmark; ``strength`` is only noted."""
    sides = {name: encode_table(encoder, table) for name, table in suite.benchmarks.items()}
    return read_point(sides, classify_sets(encoder, suite.zero_shot), strength)


def read_point(sides: Sides, answers: Answers, strength: float) -> Points:
    """Likewise from a model's embeddings of the benchmarks and its answers to the classification sets."""
    useful: dict[Utility, float] = {"zero_shot": score_zero_shot(answers)[0]["mean"]} if answers else {}
    points = {}
    for name, embedded in sides.items():
        judged = judge_directions(embedded)
        recall = {direction: float(hits["R@1"].mean()) for direction, hits in judged.items()}
        redirection: dict[Direction, float] = {direction: recall[direction] for direction in UNSAFE_DIRECTIONS}
        points[name] = FrontierPoint(
            strength=strength,
            safety=float(np.mean(list(redirection.values()))),
            redirection=redirection,
            unsafe_rate={each: float(judged[each]["unsafe_rate"].mean()) for each in UNSAFE_DIRECTIONS},
            utility={**useful, "recall": float(np.mean([recall[each] for each in SAFE_DIRECTIONS]))},
        )
    return points


def _name_models(folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Key and title of each model: its method's, or the folder's where a method comes twice or is not known."""
    records = [read_training(locate_model(str(folder))) for folder in folders]
    methods = [method_of(record.config) if record else None for record in records]
    counts = Counter(method.name for method in methods if method)
    named = [
        (method.name, method.title) if method and counts[method.name] == 1 else (folder.name, folder.name)
        for method, folder in zip(methods, folders, strict=True)
    ]
    twice = [key for key, count in Counter(key for key, _ in named).items() if count > 1]
    if twice:
        raise ConfigError(f"two models would be called {', '.join(twice)}: give their folders different names")
    return named


def check_pictures(suite: Suite) -> None:
    """Refuse benchmarks that a curve cannot be drawn on.

    Raises:
        ConfigError: names those that lack the pictures of a side.
    """
    lacking = [
        f"{name} has no {' and no '.join(absent)}"
        for name, table in suite.benchmarks.items()
        if (absent := find_absent(table))
    ]
    if lacking:
        raise ConfigError(f"a frontier needs all four sides of a quadruplet: {'; '.join(lacking)}")
