"""One run: train or edit, measure everything, and keep what was found."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from safer_clip.attacks.settings import AttackSettings
from safer_clip.comparison import Comparison, add_own_sets, load_suite
from safer_clip.config import CompareConfig, DataConfig, EvaluateConfig, TrainConfig
from safer_clip.errors import ConfigError
from safer_clip.evaluation.directions import judge_headlines
from safer_clip.evaluation.frontier import Frontier, measure_curve
from safer_clip.evaluation.retrieval import Floats, QuadrupletEmbeddings
from safer_clip.evaluation.suite import Suite, classify_sets
from safer_clip.evaluation.tracing import Points, check_pictures, guess_accuracy, read_point, trace_frontier
from safer_clip.files import write_bytes, write_json
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.similarity import COSINE
from safer_clip.models.strength import subtract_models
from safer_clip.reference import load_reference
from safer_clip.repeating.plans import Run, plan_training
from safer_clip.results import BASE, MethodResults
from safer_clip.schema import Part
from safer_clip.tuning import load_data, load_encoder, record_training, tune, write_tuned

if TYPE_CHECKING:
    from datasets import Dataset

ZERO_SHOT = "zero_shot/"


class RunRecord(Part):
    """What is kept of a run.

    Attributes:
        wanted: every setting that the figures depend on; a run is taken up again only if they are the same.
        results: as of a single comparison.
        frontier: the curve from the untouched model to the tuned one and a little beyond.
    """

    wanted: dict[str, Any]
    results: MethodResults
    frontier: Frontier


@dataclass(frozen=True)
class Bench:
    """What all runs share.

    Attributes:
        config: of the comparison.
        encoder: the untouched model.
        suite: what to measure on.
        sides: the untouched model's embeddings of the benchmarks.
        tables: training sets that were read so far, by what was to be read.
    """

    config: CompareConfig
    encoder: DualEncoder
    suite: Suite
    sides: Mapping[str, QuadrupletEmbeddings]
    tables: dict[str, Dataset] = field(default_factory=dict)

    @classmethod
    def open(cls, config: CompareConfig) -> Bench:
        """Load the model and what to measure on; the untouched model's embeddings are encoded once for all processes.

        Raises:
            ConfigError: the model or a benchmark is missing, or a benchmark lacks pictures, without which there is no curve.
            DataError: lists all problems of the data.
        """
        encoder = load_encoder(config.model)
        own = EvaluateConfig(model=config.model, zero_shot=config.zero_shot, **config.benchmark.model_dump())
        suite = add_own_sets(load_suite(config.benchmark), own)
        if config.attack:
            suite = replace(suite, attack=AttackSettings(quadruplets=config.attack))
        check_pictures(suite)
        sides = {name: load_reference(encoder, table, _store(config)) for name, table in suite.benchmarks.items()}
        return cls(config, encoder, suite, sides)

    @cached_property
    def start(self) -> Points:
        """What the untouched model measures, where the curves begin; not needed where all runs are done."""
        return read_point(self.sides, classify_sets(self.encoder, self.suite.zero_shot), 0.0)

    def read_training(self, run: Run) -> Dataset:
        """The table that a run trains on, which most runs share."""
        config = plan_training(self.config, run, Path())
        key = config.model_dump_json(include=set(DataConfig.model_fields))
        if key not in self.tables:
            self.tables[key] = load_data(config)
        return self.tables[key]

    def prepare(self, runs: Sequence[Run]) -> None:
        """Read and encode all that runs train on, so that what is wrong with it is told once, before any of them.

        Raises:
            DataError: lists all problems of a training set.
        """
        for run in runs:
            if run.variant.method is not None:
                self.read_training(run)
        for table in self.tables.values():
            load_reference(self.encoder, table, _store(self.config))

    def measure(self, run: Run) -> None:
        """Carry a run out and keep its record, whose file appears when it is whole."""
        comparison = Comparison(self.suite)
        if run.variant.method is None:
            results = comparison.add(BASE, run.variant.title, self.encoder)
            key, frontier = BASE, self._trace_nothing(run.variant.title, results)
        else:
            comparison.sides[BASE] = dict(self.sides)
            key, results, frontier = self._train(run, comparison)
        results = results.model_copy(update={"title": run.variant.title})
        judged = judge_run(comparison, key)
        path = record_path(self.config.output, run)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_judged(path.with_suffix(".npz"), judged)
        record = RunRecord(wanted=describe_run(self.config, run), results=results, frontier=frontier)
        write_json(path, record.model_dump(mode="json", by_alias=True))

    def _train(self, run: Run, comparison: Comparison) -> tuple[str, MethodResults, Frontier]:
        config = plan_training(self.config, run, model_path(self.config.output, run))
        table = self.read_training(run)
        tuned = tune(load_encoder(config.model), table, load_reference(self.encoder, table, _store(self.config)), config)
        record = write_tuned(tuned, config) if self.config.keep_models else record_training(tuned, config)
        results = comparison.add_tuned(tuned.encoder, record)
        base = replace(self.encoder, similarity=tuned.encoder.similarity)
        known = {1.0: read_point(comparison.sides[config.method], comparison.answers.get(config.method, {}), 1.0)}
        if base.similarity == COSINE:
            known[0.0] = self.start
        difference = subtract_models(base, tuned.encoder)
        return config.method, results, trace_frontier(difference, self.suite, self.config.strengths, results.title, known)

    def _trace_nothing(self, title: str, results: MethodResults) -> Frontier:
        chance = guess_accuracy(self.suite)
        curves = {name: measure_curve([point], chance) for name, point in self.start.items()}
        return Frontier(title=title, benchmarks=curves, model_fingerprint=results.model_fingerprint)


def judge_run(comparison: Comparison, key: str) -> dict[str, Floats]:
    """Each query's own figures, 0 to 100, for comparisons on the same queries: by benchmark and figure, and by set."""
    judged = {
        f"{name}/{figure}": values.astype(np.float32)
        for name, sides in comparison.sides[key].items()
        for figure, values in judge_headlines(sides).items()
    }
    answers = comparison.answers.get(key, {})
    right = {name: 100.0 * (found == np.asarray(labels)) for name, (found, labels) in answers.items()}
    return judged | {ZERO_SHOT + name: values.astype(np.float32) for name, values in right.items()}


def save_judged(path: Path, judged: Mapping[str, Floats]) -> None:
    """Keep what :func:`judge_run` found, atomically."""
    content = io.BytesIO()
    named: dict[str, Any] = dict(judged)
    np.savez_compressed(content, **named)
    write_bytes(path, content.getvalue())


def load_judged(output: Path, run: Run) -> dict[str, Floats]:
    """What :func:`judge_run` found of a run that is done."""
    with np.load(record_path(output, run).with_suffix(".npz"), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def find_record(config: CompareConfig, run: Run) -> RunRecord | None:
    """The record of a run that is done already, if it is.

    Raises:
        ConfigError: a setting does not fit the run's method, or there is a record, but of other settings, or unreadable.
    """
    wanted = describe_run(config, run)  # first, so that settings are checked of runs that are yet to be done as well
    path = record_path(config.output, run)
    if not path.is_file():
        return None
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path} cannot be read as the record of a run; delete it to run it again: {error}") from error
    changed = sorted(name for name in wanted | record.wanted if wanted.get(name) != record.wanted.get(name))
    if changed:
        told = [f"  {name}: {record.wanted.get(name)} then, {wanted.get(name)} now" for name in changed]
        raise ConfigError("\n".join([f"{path} was run with other settings; name another --output, or delete it:", *told]))
    return record


def describe_run(config: CompareConfig, run: Run) -> dict[str, Any]:
    """Every setting that the figures of a run depend on, as plain values."""
    measured = config.model_dump(mode="json", include={"model", "benchmark", "zero_shot", "strengths", "attack"})
    trained = plan_training(config, run, Path("unused")) if run.variant.method else None
    described: dict[str, Any] = json.loads(json.dumps({**measured, "training": _describe(trained)}))
    return described


def record_path(output: Path, run: Run) -> Path:
    """Where a run's record is kept."""
    return output / "runs" / f"{run.name}.json"


def model_path(output: Path, run: Run) -> Path:
    """Where a run's adapter is kept, or its model."""
    return output / "models" / run.name


def _describe(config: TrainConfig | None) -> dict[str, Any] | None:
    return config.model_dump(mode="json", exclude={"output", "workers", "save_every"}) if config else None


def _store(config: CompareConfig) -> Path:
    return config.output / "reference"
