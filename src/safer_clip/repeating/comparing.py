"""Every method with several seeds, measured alike: one file with means, intervals, curves and attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safer_clip.attacks.outcomes import AttackResults
from safer_clip.comparison import Comparison, Tell, describe_table
from safer_clip.config import CompareConfig
from safer_clip.environment import describe_context
from safer_clip.evaluation.frontier import Frontier, Utility, measure_curve
from safer_clip.evaluation.paired import PairedComparison, compare_means, compare_sets
from safer_clip.evaluation.retrieval import Floats
from safer_clip.files import write_json
from safer_clip.fingerprints import fingerprint_model
from safer_clip.models.parameters import count_parameters
from safer_clip.repeating.averaging import average_trees, combine_intervals, list_intervals
from safer_clip.repeating.plans import Run, Variant, list_runs
from safer_clip.repeating.processes import carry_out
from safer_clip.repeating.runs import ZERO_SHOT, Bench, RunRecord, find_record, load_judged
from safer_clip.results import BASE, Geometry, MethodResults, Results
from safer_clip.schema import Interval, Part

FILE = "comparison.json"


class SeedMeans(MethodResults):
    """A method's figures averaged over seeds.

    Its intervals tell of queries and seeds together, see :mod:`~safer_clip.repeating.averaging`.

    Attributes:
        seeds: that were averaged; one for a model that has none.
        interval: all intervals by the path of their figure, such as ``retrieval/mini_nsfw_caps/T*->V/R@1``.
        fingerprints: of the models, in the order of the seeds.
    """

    seeds: list[int]
    interval: dict[str, Interval]
    fingerprints: list[str]


class SeedHypervolume(Part):
    """Mean over seeds of the share that a curve dominates, and its interval over seeds."""

    mean: float
    interval: Interval


class SeedFrontier(Frontier):
    """A method's curves, every point the mean over seeds.

    Attributes:
        hypervolume: by benchmark and utility; of each seed's own curve, then averaged.
    """

    hypervolume: dict[str, dict[Utility, SeedHypervolume]]


class RepeatedResults(Results):
    """A comparison over seeds: a results file, and more beside it.

    Attributes:
        methods: means over seeds.
        frontier: curves by method.
        attack: success rates by method and benchmark, means over seeds.
        geometry: by method and benchmark, likewise.
    """

    methods: dict[str, SeedMeans]  # type: ignore[assignment]  # narrower, and nothing is assigned afterwards
    frontier: dict[str, SeedFrontier]
    attack: dict[str, dict[str, AttackResults]]
    geometry: dict[str, dict[str, Geometry]]


@dataclass(frozen=True)
class Rounds:
    """All records of one variant."""

    variant: Variant
    runs: Sequence[Run]
    records: Sequence[RunRecord]


def compare_variants(
    config: CompareConfig, variants: Sequence[Variant], jobs: int, title: str, against: str, tell: Tell = lambda _: None
) -> RepeatedResults:
    """Carry out what is not done yet, average, and write ``comparison.json`` into the output.

    Args:
        config: what to train on and to measure.
        variants: the untouched model first.
        jobs: processes.
        title: of the results.
        against: key of the variant that the others are compared with query by query.
        tell: told what happens, a sentence at a time.

    Raises:
        ConfigError: settings do not fit, or the output holds runs of other settings; found out before anything is trained.
        DataError: lists all problems of the data, likewise.
        RunsFailedError: some runs failed; all others are kept, and are not run again.
    """
    runs = list_runs(variants, config.seeds)
    todo = [run for run in runs if find_record(config, run) is None]
    config.output.mkdir(parents=True, exist_ok=True)
    tell(f"{len(runs)} runs, {len(runs) - len(todo)} of them done already; reading what they share")
    bench = Bench.open(config)
    bench.prepare(todo)
    carry_out(config, bench, todo, jobs, tell)
    rounds = [_gather(config, variant, runs) for variant in variants]
    results = put_together(config, bench, rounds, title, against)
    write_json(config.output / FILE, results.model_dump(mode="json", by_alias=True))
    return results


def put_together(config: CompareConfig, bench: Bench, rounds: Sequence[Rounds], title: str, against: str) -> RepeatedResults:
    """Average the rounds and describe what they were."""
    means = {each.variant.key: average_records(each.records, [run.seed for run in each.runs]) for each in rounds}
    trained = next((run for each in rounds for run in each.runs if run.variant.method), None)
    tables = {**({"training": bench.read_training(trained)} if trained else {}), **bench.suite.benchmarks}
    model = bench.encoder.model
    return RepeatedResults(
        **describe_context(),
        title=title,
        seed=bench.suite.seed,
        data={name: describe_table(table) for name, table in tables.items()},
        base_model={"name": config.model, "fingerprint": fingerprint_model(model), "parameters": count_parameters(model)},
        methods=means,
        paired=pair_rounds(config, rounds, against),
        validity=Comparison(bench.suite, sides={BASE: dict(bench.sides)}).check_validity(None, {}),
        frontier={each.variant.key: average_frontiers([r.frontier for r in each.records]) for each in rounds},
        attack={key: found.attack for key, found in means.items()},
        geometry={key: found.geometry for key, found in means.items()},
    )


def average_records(records: Sequence[RunRecord], seeds: Sequence[int]) -> SeedMeans:
    """Average the figures of the seeds."""
    trees = [record.results.model_dump(mode="json", by_alias=True) for record in records]
    average = average_trees(trees)
    return SeedMeans.model_validate(
        average
        | {
            "seeds": list(seeds),
            "settings": {name: value for name, value in average["settings"].items() if name != "seed"},
            "interval": dict(list_intervals(average)),
            "fingerprints": [record.results.model_fingerprint for record in records],
        }
    )


def average_frontiers(frontiers: Sequence[Frontier]) -> SeedFrontier:
    """Average curves point by point, and their hypervolumes curve by curve."""
    first = frontiers[0]
    curves, volumes = {}, {}
    for name, curve in first.benchmarks.items():
        each = [frontier.benchmarks[name] for frontier in frontiers]
        trees = [{"points": [point.model_dump() for point in one.points]} for one in each]
        chance = curve.measures["zero_shot"].reference[1] if "zero_shot" in curve.measures else None
        points = [type(curve.points[0]).model_validate(point) for point in average_trees(trees)["points"]]
        curves[name] = measure_curve(points, chance)
        volumes[name] = {
            utility: _average_volume([one.measures[utility].hypervolume for one in each]) for utility in curve.measures
        }
    return SeedFrontier(title=first.title, benchmarks=curves, model_fingerprint=first.model_fingerprint, hypervolume=volumes)


def pair_rounds(config: CompareConfig, rounds: Sequence[Rounds], against: str) -> dict[str, PairedComparison]:
    """Every variant against one of them on the same queries, each query's figure averaged over seeds first."""
    judged = {each.variant.key: _average_judged(config, each.runs) for each in rounds}
    if against not in judged:
        return {}
    theirs = judged[against]
    return {key: _pair(ours, theirs, against) for key, ours in judged.items() if key not in (against, BASE)}


def _pair(ours: Mapping[str, Floats], theirs: Mapping[str, Floats], against: str) -> PairedComparison:
    retrieval: dict[str, dict[str, object]] = {}
    for name in ours:
        if not name.startswith(ZERO_SHOT):
            benchmark, figure = name.rsplit("/", 1)
            retrieval.setdefault(benchmark, {})[figure] = compare_means(ours[name], theirs[name])
    sets = [{name: values for name, values in side.items() if name.startswith(ZERO_SHOT)} for side in (ours, theirs)]
    zero_shot = compare_sets(sets[0], sets[1]) if sets[0] else None
    return PairedComparison.model_validate({"against": against, "retrieval": retrieval, "zero_shot": zero_shot})


def _average_judged(config: CompareConfig, runs: Sequence[Run]) -> dict[str, Floats]:
    each = [load_judged(config.output, run) for run in runs]
    return {name: np.mean([judged[name] for judged in each], axis=0) for name in each[0]}


def _gather(config: CompareConfig, variant: Variant, runs: Sequence[Run]) -> Rounds:
    own = [run for run in runs if run.variant == variant]
    records = [record for run in own if (record := find_record(config, run)) is not None]
    return Rounds(variant, own, records)


def _average_volume(values: Sequence[float]) -> SeedHypervolume:
    return SeedHypervolume(mean=float(np.mean(values)), interval=combine_intervals(values, None, (0.0, 1.0)))
