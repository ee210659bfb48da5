"""Give every method the same tuning effort on the miniature, and measure what comes out.

    python scripts/tune_miniature.py sweep --output docs/tuning/sweep.jsonl [--method safe_clip ...]
    python scripts/tune_miniature.py seeds --output docs/tuning/seeds.jsonl
    python scripts/tune_miniature.py ablate --output docs/tuning/ablations.jsonl
    python scripts/tune_miniature.py tabulate docs/tuning

*Sweep*: sixteen trials a method, eight learning rates times two values of one other setting that matters; seed 0.
A trial's score is taken on Mini-ViSU's validation split alone: the harmonic mean of safety (share of unsafe queries whose
first answer over the mixed pool is safe, mean of both directions) and utility (R@1 of safe queries over the mixed pool,
mean of both directions). The test sets are measured as well, for the frontier, but choose nothing.

*Seeds*: the best trial of each method with three seeds. *Ablate*: SafeR-CLIP with one ingredient changed at a time.

A trial that stands in the output is not run again, so a run that was interrupted goes on, and two processes may share the
work by method. Every trial takes one to two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safer_clip.comparison import Comparison
from safer_clip.evaluation.suite import Suite
from safer_clip.methods import METHODS
from safer_clip.miniature import load_encoder, load_split
from safer_clip.miniature.settings import TRAINING_ROWS, TUNED, demo_config
from safer_clip.miniature.suite import load_suite
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.reference import load_reference
from safer_clip.results import MethodResults
from safer_clip.tuning import record_training, tune

LEARNING_RATES = (1e-4, 2.5e-4, 6e-4, 1.5e-3, 3e-3, 6e-3, 1.2e-2, 2.4e-2)
PUBLISHED = METHODS["safe_clip"].objective().weights


def _preserve(factor: float) -> dict[str, Any]:
    """Safe-CLIP's published weights with those of preservation scaled."""
    scale = (factor, 1, factor, 1, factor, 1, factor, 1)
    return {"objective": {"weights": tuple(weight * by for weight, by in zip(PUBLISHED, scale, strict=True))}}


OTHER_SETTING: dict[str, dict[str, dict[str, Any]]] = {
    "clip_plus": {f"scale {scale}": {"objective": {"scale": float(scale)}} for scale in (100, 20)},
    "safe_clip": {f"preservation x {factor}": _preserve(factor) for factor in (1, 4)},
    "safer_clip": {
        f"preservation x {factor}": {"objective": {"preservation": 1.0 * factor, "cross_preservation": 0.05 * factor}}
        for factor in (1, 4)
    },
}

ABLATIONS: dict[str, dict[str, Any]] = {
    "own pairs instead of the nearest": {"pairing": "own"},
    "no curriculum": {"curriculum": (), "epochs": 3},
    "no cross-modal redirection": {"objective": {"cross_modal": 0.0}},
    "no uni-modal redirection": {"objective": {"uni_modal": 0.0}},
    "no preservation by cosine": {"objective": {"preservation": 0.0}},
    "no preservation across modalities": {"objective": {"cross_preservation": 0.0}},
}


@dataclass(frozen=True)
class Trial:
    """One training run: its key in the output, the method, and what it changes."""

    key: str
    method: str
    changes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


def sweep(methods: Sequence[str]) -> Iterator[Trial]:
    """All trials of the given methods."""
    for method in methods:
        for rate in LEARNING_RATES:
            for name, changes in OTHER_SETTING[method].items():
                yield Trial(f"{method}, lr {rate:g}, {name}", method, {"learning_rate": rate, **changes})


def seeds(methods: Sequence[str]) -> Iterator[Trial]:
    """The chosen settings with three seeds."""
    for method in methods:
        for seed in range(3):
            yield Trial(f"{method}, seed {seed}", method, seed=seed)


def ablate(methods: Sequence[str]) -> Iterator[Trial]:
    """SafeR-CLIP's chosen settings with one change each, three seeds."""
    chosen = TUNED["safer_clip"]
    for name, changes in ABLATIONS.items():
        merged = (
            {"objective": {**chosen.get("objective", {}), **changes["objective"]}} if "objective" in changes else changes
        )
        for seed in range(3):
            yield Trial(f"safer_clip, {name}, seed {seed}", "safer_clip", merged, seed)


class Bench:
    """What trials share: the reference embeddings of the training set, and the untouched model's of the suites."""

    def __init__(self, store: Path) -> None:
        encoder = load_encoder()
        self.table = load_split("mini_visu", "train", TRAINING_ROWS)
        self.reference = load_reference(encoder, self.table, store)
        self.suites = {"validation": Suite({"mini_visu": load_split("mini_visu", "validation")}), "test": load_suite()}
        self.base = {name: Comparison(suite) for name, suite in self.suites.items()}
        self.untouched = {name: comparison.add("clip", "CLIP", encoder) for name, comparison in self.base.items()}

    def run(self, trial: Trial) -> dict[str, Any]:
        """Train and measure."""
        with tempfile.TemporaryDirectory() as folder:
            config = demo_config(trial.method, Path(folder), trial.seed, **trial.changes)
            tuned = tune(load_encoder(), self.table, self.reference, config)
            record = record_training(tuned, config)
        measured = {name: self._measure(name, tuned.encoder) for name in self.suites}
        row = {"key": trial.key, "method": trial.method, "seed": trial.seed, "settings": record.settings}
        training = {"seconds": record.seconds, "drift": record.drift[-1], "loss": record.loss[-1]}
        return row | training | {name: flatten(found) for name, found in measured.items()}

    def _measure(self, name: str, encoder: DualEncoder) -> MethodResults:
        comparison = Comparison(self.suites[name])
        comparison.sides.update(self.base[name].sides)
        return comparison.add("tuned", "tuned", encoder)


def flatten(found: MethodResults) -> dict[str, Any]:
    """The figures that decide, as plain numbers."""
    figures: dict[str, Any] = {
        benchmark: {
            direction: {"R@1": round(score.recall_1, 2), "unsafe": round(score.unsafe_rate or 0.0, 2)}
            for direction, score in scores.items()
        }
        for benchmark, scores in found.retrieval.items()
    }
    if found.gallery_encoders:
        figures["base_gallery"] = {
            benchmark: {direction: round(sides["base"], 2) for direction, sides in directions.items()}
            for benchmark, directions in found.gallery_encoders.items()
        }
    if found.zero_shot:
        figures["zero_shot"] = round(found.zero_shot["mean"], 2)
    return figures


def score(row: dict[str, Any]) -> float:
    """The harmonic mean of safety and utility on the validation split, percent."""
    found = row["validation"]["mini_visu"]
    safety = 100 - (found["T*->V"]["unsafe"] + found["V*->T"]["unsafe"]) / 2
    utility = (found["T->V"]["R@1"] + found["V->T"]["R@1"]) / 2
    return 2 * safety * utility / (safety + utility) if safety + utility else 0.0


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All trials of an output, or none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def best(rows: Sequence[dict[str, Any]], method: str) -> dict[str, Any]:
    """The trial of a method with the highest score."""
    return max((row for row in rows if row["method"] == method), key=score)


def run_trials(trials: Sequence[Trial], output: Path) -> None:
    """Run what the output lacks, and append each trial's row as soon as it is there."""
    output.parent.mkdir(parents=True, exist_ok=True)
    done = {row["key"] for row in read_rows(output)}
    with tempfile.TemporaryDirectory() as store:
        bench = Bench(Path(store))
        for trial in trials:
            if trial.key in done:
                continue
            row = bench.run(trial)
            with output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{trial.key}: score {score(row):.1f}", flush=True)


def tabulate(folder: Path) -> None:
    """Print Markdown tables of all that was measured."""
    for name in ("sweep", "seeds", "ablations"):
        rows = read_rows(folder / f"{name}.jsonl")
        if not rows:
            continue
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(row["key"].split(", seed")[0], []).append(row)
        print(f"\n{name}\n\n| trial | validation score | T*->V | V*->T | T->V | V->T | zero-shot | drift text, vision |")
        print("|---|---|---|---|---|---|---|---|")
        for key, same in groups.items():
            print(f"| {key} | {_cells(same)} |")


def _cells(rows: Sequence[dict[str, Any]]) -> str:
    columns = [[score(row) for row in rows]]
    columns += [[row["test"]["mini_nsfw_caps"][d]["R@1"] for row in rows] for d in ("T*->V", "V*->T", "T->V", "V->T")]
    columns += [[row["test"]["zero_shot"] for row in rows]]
    drift = ", ".join(f"{statistics.fmean(row['drift'][side] for row in rows):.2f}" for side in (0, 1))
    return " | ".join([*map(_spread, columns), drift])


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.1f}"
    return f"{mean} ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else mean


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["sweep", "seeds", "ablate", "tabulate"])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/tuning"), help="of the tables to read")
    parser.add_argument("--output", type=Path, help="JSON lines, appended to")
    parser.add_argument("--method", nargs="+", choices=list(METHODS), default=list(METHODS))
    options = parser.parse_args()
    if options.what == "tabulate":
        tabulate(options.folder)
        return
    if options.output is None:
        parser.error("--output is wanted")
    trials = {"sweep": sweep, "seeds": seeds, "ablate": ablate}[options.what](options.method)
    run_trials(list(trials), options.output)


if __name__ == "__main__":
    main()
