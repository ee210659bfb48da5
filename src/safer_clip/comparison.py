"""Measuring models side by side: one suite, the base model first, and everything that shows what a table is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from safer_clip.attacks.running import attack_model
from safer_clip.attacks.settings import AttackSettings
from safer_clip.config import DataConfig, EvaluateConfig, TrainConfig, method_of
from safer_clip.environment import describe_context
from safer_clip.errors import ConfigError
from safer_clip.evaluation.categories import score_categories
from safer_clip.evaluation.directions import judge_headlines
from safer_clip.evaluation.examples import choose_rows, collect_examples, join_galleries
from safer_clip.evaluation.oracle import redirect_unsafe
from safer_clip.evaluation.paired import PairedComparison, compare_means, compare_sets
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.evaluation.scoring import Scores, collapse_sides, score_against, score_mixed, shuffle_sides
from safer_clip.evaluation.stability import score_changes
from safer_clip.evaluation.suite import Answers, ClassificationSet, Sides, Suite, add_zero_shot, classify_sets, score_model
from safer_clip.evaluation.unsafe_retrieval import measure_pool
from safer_clip.fingerprints import fingerprint_model, fingerprint_table
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.parameters import count_parameters
from safer_clip.models.sources import locate_model
from safer_clip.objectives.base import SIDES
from safer_clip.reference import encode_table, find_absent, load_reference
from safer_clip.results import BASE, Direction, Drift, Gallery, MethodResults, Results, UnsafeRate, Validity
from safer_clip.tuning import (
    MINIATURES,
    TrainingRecord,
    load_data,
    load_encoder,
    read_training,
    tell_labels,
    tune,
    write_tuned,
)

if TYPE_CHECKING:
    from datasets import Dataset

NEIGHBOURS = (1, 10)
EXAMPLES = 4
_HOUSE_METHOD = "safer_clip"
Tell = Callable[[str], None]


@dataclass
class Comparison:
    """Models measured so far on a suite; every embedding is computed once.

    Attributes:
        suite: what they are measured on.
        methods: figures, by method in the order in which they were added.
        sides: embeddings of the benchmarks, likewise.
        answers: classes that were found in the classification sets, likewise.
        parameters: how many numbers a model has, likewise.
    """

    suite: Suite
    methods: dict[str, MethodResults] = field(default_factory=dict)
    sides: dict[str, Sides] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)

    def add(self, key: str, title: str, encoder: DualEncoder) -> MethodResults:
        """Embed the suite with a model and score it; the model under ``"clip"``, if any, has to come first."""
        embedded = {name: encode_table(encoder, table) for name, table in self.suite.benchmarks.items()}
        base = self.sides.get(BASE)
        scored = score_model(title, embedded, base, self.suite.seed)
        rates: dict[str, dict[Direction, UnsafeRate]] = {}
        if len(encoder.modalities) > 1:  # both of these compare pictures with words
            if self.suite.zero_shot:
                self.answers[key] = classify_sets(encoder, self.suite.zero_shot)
                scored = add_zero_shot(scored, self.answers[key], self.suite.seed)
            rates = {pool.name: measure_pool(encoder, pool, self.suite.seed) for pool in self.suite.pools}
        self.sides[key] = embedded
        self.parameters[key] = count_parameters(encoder.model)
        told: dict[str, object] = {"unsafe_retrieval": rates, "model_fingerprint": fingerprint_model(encoder.model)}
        told |= self._score_queries(embedded, base) | self._attack(encoder, embedded)
        self.methods[key] = scored.model_copy(update=told)
        return self.methods[key]

    def add_tuned(self, encoder: DualEncoder, record: TrainingRecord) -> MethodResults:
        """Likewise with a model that this package trained, under its method's name and with what its training tells."""
        method = method_of(record.config)
        key, title = method.name, method.title
        found = self.add(key, title, encoder)
        text, vision = record.drift[-1]
        told = {
            "drift": Drift(text=text, vision=vision, epochs=record.drift),
            "train_seconds": record.seconds,
            "loss": record.loss,
            "settings": record.settings,
        }
        self.methods[key] = found.model_copy(update=told)
        return self.methods[key]

    def check_validity(self, training: QuadrupletEmbeddings | None, pairing: Mapping[str, float]) -> Validity:
        """Oracle and controls, from the first model's embeddings.

        Args:
            training: that model's embeddings of the training set, for the oracle; none leaves it out.
            pairing: what the training set's pairs share.
        """
        embedded = next(iter(self.sides.values()))
        oracle = {name: self._redirect(sides, training) for name, sides in embedded.items()} if training else {}
        controls = {
            name: {
                "shuffled": score_mixed(shuffle_sides(sides, self.suite.seed), self.suite.seed),
                "collapsed": score_mixed(collapse_sides(sides), self.suite.seed),
            }
            for name, sides in embedded.items()
        }
        return Validity(pairing=dict(pairing), oracle=oracle, controls=controls)

    def compare_pairs(self) -> dict[str, PairedComparison]:
        """Every other trained method against SafeR-CLIP, or against the first one, on the same queries."""
        trained = [key for key in self.methods if key != BASE]
        if len(trained) < 2:
            return {}
        against = _HOUSE_METHOD if _HOUSE_METHOD in trained else trained[0]
        return {key: self._compare_pair(key, against) for key in trained if key != against}

    def show_examples(self) -> Gallery:
        """The same few queries for every model, drawn before any answer was seen."""
        galleries = []
        for name, table in self.suite.benchmarks.items():
            rows = choose_rows(len(table), EXAMPLES, self.suite.seed)
            models = {key: sides[name] for key, sides in self.sides.items()}
            galleries.append(collect_examples(name, table, models, rows, self.suite.harmless))
        return join_galleries(galleries)

    def _score_queries(self, embedded: Sides, base: Sides | None) -> dict[str, object]:
        """What is told of queries one by one: by category, and harmless ones that changed their answer."""
        tables = self.suite.benchmarks
        return {
            "categories": {name: score_categories(sides, tables[name]["category"]) for name, sides in embedded.items()},
            "changed_answers": {
                name: score_changes(sides, base[name], tables[name]["safe_caption"], self.suite.seed)
                for name, sides in embedded.items()
                if base
            },
        }

    def _attack(self, encoder: DualEncoder, embedded: Sides) -> dict[str, object]:
        settings, tables = self.suite.attack, self.suite.benchmarks
        if settings is None:
            return {}
        whole = {name: sides for name, sides in embedded.items() if sides.has(*SIDES)}
        return {"attack": {name: attack_model(encoder, tables[name], sides, settings) for name, sides in whole.items()}}

    def _compare_pair(self, key: str, against: str) -> PairedComparison:
        seed, retrieval = self.suite.seed, {}
        for name in self.suite.benchmarks:
            ours, theirs = judge_headlines(self.sides[key][name]), judge_headlines(self.sides[against][name])
            retrieval[name] = {figure: compare_means(ours[figure], theirs[figure], seed) for figure in ours}
        right = [
            {name: 100.0 * (found == np.asarray(labels)) for name, (found, labels) in self.answers[each].items()}
            for each in (key, against)
            if each in self.answers
        ]
        zero_shot = compare_sets(right[0], right[1], seed) if right else None
        return PairedComparison(against=against, retrieval=retrieval, zero_shot=zero_shot)

    def _redirect(self, sides: QuadrupletEmbeddings, training: QuadrupletEmbeddings) -> dict[str, Scores]:
        variants: dict[str, Scores] = {}
        for count in NEIGHBOURS:
            moved = redirect_unsafe(sides, training, count)
            variants[f"{count} nearest (gallery untouched)"] = score_against(moved, sides, self.suite.seed)
            variants[f"{count} nearest (gallery redirected)"] = score_mixed(moved, self.suite.seed)
        return variants


def compare_methods(
    load: Callable[[], DualEncoder],
    table: Dataset,
    suite: Suite,
    runs: Sequence[TrainConfig],
    store: Path,
    tell: Tell = lambda _: None,
) -> tuple[Comparison, QuadrupletEmbeddings]:
    """Train every run from the same pre-trained model and measure all of them, the untouched model first.

    Args:
        load: gives a fresh copy of the pre-trained model; training changes a model in place.
        table: training quadruplets with all pictures, the data of the first run.
        suite: what to measure on.
        runs: settings of each method, one run a method; each tuned model is written to its ``output``. A run that names
            other data than the first, as one that needs labels may, is trained on those.
        store: folder for the reference embeddings, which are encoded once for all runs.
        tell: told what happens, a sentence at a time.

    Returns:
        The comparison, and the reference embeddings of the training set.
    """
    comparison = Comparison(suite)
    encoder = load()
    tell(f"Encoding {len(table):,} training quadruplets with the frozen model")
    reference = load_reference(encoder, table, store)
    tell("Measuring the untouched model")
    comparison.add(BASE, "CLIP", encoder)
    for run in runs:
        config = run.resolve()
        title = method_of(config).title
        same = config.data == runs[0].data
        own = table if same else load_data(config)
        if unlabelled := tell_labels(config, own):
            tell(unlabelled)
        tell(f"Training {title}{'' if same else f' on {config.data}'}")
        tuned = tune(load(), own, reference if same else load_reference(encoder, own, store), config)
        record = write_tuned(tuned, config)
        tell(f"Measuring {title}, trained in {tuned.seconds:.0f} s")
        comparison.add_tuned(tuned.encoder, record)
    return comparison, reference


def evaluate(config: EvaluateConfig, tell: Tell = lambda _: None) -> Results:
    """Measure one model folder on quadruplets, beside the pre-trained model if one is named.

    ``data="miniature"`` is all of the miniature's benchmarks and zero-shot sets.

    Raises:
        ConfigError: a model is missing or cannot be attacked, some rows have pictures and some have not, or captions alone
            are to be measured without a model to compare with.
        DataError: lists all problems of the data.
    """
    folder = locate_model(config.model)
    encoder, record = DualEncoder.load(folder), read_training(folder)
    base = load_encoder(config.base) if config.base else None
    suite = add_own_sets(load_suite(config, config.seed), config)
    attack = AttackSettings(quadruplets=config.attack, seed=config.seed) if config.attack else None
    comparison = Comparison(replace(suite, attack=attack))
    for sentence in tell_absent(comparison.suite, alone=base is None):
        tell(sentence)
    if len(encoder.modalities) == 1:
        tell(f"{config.model} is a {encoder.modalities[0]} half: only what compares {encoder.modalities[0]}s is measured")
        if base is None:
            raise ConfigError("a half alone can only show what changed: name the pre-trained model with --base")
    if base:
        tell(f"Measuring {config.base}")
        comparison.add(BASE, "CLIP", base)
    tell(f"Measuring {config.model}")
    if record:
        title = comparison.add_tuned(encoder, record).title
    else:
        title = comparison.add("model" if base else BASE, Path(config.model).name, encoder).title
    validity = comparison.check_validity(None, {})
    measured = " and ".join(comparison.suite.benchmarks)
    return build_results(comparison, f"{title} on {measured}", config.base or config.model, validity)


def load_suite(config: DataConfig, seed: int = 0) -> Suite:
    """Read what to measure on: the miniature's sets by its name, or one benchmark named after its file or folder."""
    if config.data == "miniature":
        from safer_clip.miniature.suite import load_suite as load_miniature

        return load_miniature(seed)
    if config.data in MINIATURES:
        raise ConfigError(f"{config.data!r} is a training set; measure on 'miniature'")
    return Suite({Path(config.data).stem: load_data(config)}, seed=seed)


def tell_absent(suite: Suite, alone: bool) -> list[str]:
    """A sentence for each benchmark without pictures of a side: what can be measured all the same.

    Raises:
        ConfigError: nothing can, because there are captions only and no model to compare with.
    """
    told = []
    for name, table in suite.benchmarks.items():
        absent = find_absent(table)
        if "safe_image" in absent and "unsafe_image" in absent and alone:
            raise ConfigError(
                f"{name} has captions alone, which can only show what changed: name the pre-trained model with --base"
            )
        if absent:
            told.append(f"{name} has no {' and no '.join(absent)}: {_MEASURABLE['safe_image' in absent]}")
    return told


_MEASURABLE = {
    False: "left are T->V and T*->V over safe images, V->T, and captions against the base model's",
    True: "left are captions against the base model's, and V*->T if there are unsafe images",
}


def add_own_sets(suite: Suite, config: EvaluateConfig) -> Suite:
    """The suite with a user's own classification sets and pools of real unsafe items.

    Raises:
        DataError: lists everything that is wrong with a set.
    """
    from safer_clip.data.pools import read_pool

    sets = [*suite.zero_shot, *read_sets(config.zero_shot)]
    return replace(suite, zero_shot=sets, pools=[read_pool(path) for path in config.unsafe_pools])


def read_sets(folders: Sequence[Path]) -> list[ClassificationSet]:
    """A user's own classification sets; raises as :func:`add_own_sets`."""
    from safer_clip.data.classification import read_classification

    read = [read_classification(folder) for folder in folders]
    return [ClassificationSet(each.name, each.images, each.labels, each.prompts) for each in read]


def build_results(
    comparison: Comparison,
    title: str,
    base_name: str,
    validity: Validity,
    training: Dataset | None = None,
) -> Results:
    """Put a comparison into the form of a results file, with what is needed to repeat it.

    Args:
        comparison: with the pre-trained model first.
        title: what was run.
        base_name: of the pre-trained model.
        validity: oracle and controls.
        training: what was trained on.
    """
    first = next(iter(comparison.methods))
    described: dict[str, str | int] = {
        "fingerprint": comparison.methods[first].model_fingerprint,
        "parameters": comparison.parameters[first],
    }
    tables = {**({"training": training} if training is not None else {}), **comparison.suite.benchmarks}
    return Results(
        **describe_context(),
        title=title,
        seed=comparison.suite.seed,
        data={name: describe_table(table) for name, table in tables.items()},
        base_model={"name": base_name, **described},
        methods=comparison.methods,
        paired=comparison.compare_pairs(),
        validity=validity,
        gallery=comparison.show_examples(),
    )


def describe_table(table: Dataset) -> dict[str, str | int]:
    """A table's rows, its fingerprint, and the sides that it lacks, if any."""
    absent = find_absent(table)
    lacks: dict[str, str | int] = {"lacks": ", ".join(absent)} if absent else {}
    return {"rows": len(table), "fingerprint": fingerprint_table(table), **lacks}
