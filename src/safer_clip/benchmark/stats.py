"""What a benchmark is like, in figures; never a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from safer_clip.benchmark.finishing import Outcome
from safer_clip.benchmark.verdicts import measure_agreement
from safer_clip.benchmark.workplace import Workplace
from safer_clip.files import write_json

STATS_FILE = "stats.json"
BINS = np.linspace(-0.5, 1, 31)
STAGES = ("source", "rewriting", "filters", "review", "selection")


def describe_similarities(values: Sequence[float]) -> dict[str, Any]:
    """Mean, extremes, quartiles and a histogram of cosines; values outside the bins are in the outermost ones."""
    if not len(values):
        return {"mean": None, "histogram": {"edges": BINS.round(3).tolist(), "counts": [0] * (len(BINS) - 1)}}
    found = np.asarray(values, float)
    low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
    counts, _ = np.histogram(np.clip(found, BINS[0], BINS[-1]), BINS)
    figures = {"mean": found.mean(), "min": found.min(), "lower_quartile": low, "median": middle, "upper_quartile": high}
    told: dict[str, Any] = {name: round(float(value), 4) for name, value in {**figures, "max": found.max()}.items()}
    return {**told, "histogram": {"edges": BINS.round(3).tolist(), "counts": counts.tolist()}}


def compute_stats(place: Workplace, outcome: Outcome, loose: dict[str, Any] | None) -> dict[str, Any]:
    """All figures of a benchmark.

    Args:
        place: the folder.
        outcome: what is in the benchmark, and why the rest is not.
        loose: similarities of the loose set to report beside, as :func:`describe_similarities` has them with a ``name``.
    """
    settings = place.settings
    measures = [place.measures[key, place.pairs[key].unsafe_caption] for key in outcome.selected]
    similarities = describe_similarities([each.similarity for each in measures])
    target = settings.selection.target
    met = target is None or (similarities["mean"] or -1) >= target
    told = {"encoder": settings.encoder, "floor": settings.thresholds.floor, "target": target, "target_met": met}
    chosen = [place.settled[key] for key in outcome.selected]
    return {
        "size": len(outcome.selected),
        "wanted": settings.selection.size,
        "captions": len(outcome.selected) + len(outcome.rejected),
        "caption_similarity": {**similarities, **told, "loose": loose},
        "kept_tokens": round(float(np.mean([each.kept_tokens for each in measures])), 4) if measures else None,
        "categories": _count(each.category or "unknown" for each in chosen),
        "finer": _count(each.finer for each in chosen if each.finer),
        "funnel": _tell_funnel(outcome),
        "rejections": _count(each.reasons[0] for each in outcome.rejected if each.stage != "selection"),
        "not_needed": sum(each.stage == "selection" for each in outcome.rejected),
        "rewriter": _tell_rewriter(place),
        "judges": _tell_judges(place),
        "leakage": _tell_leakage(place, outcome),
        "review": _tell_review(place) if place.standing else None,
    }


def write_stats(place: Workplace, stats: dict[str, Any]) -> None:
    """Write the figures atomically."""
    write_json(place.folder / STATS_FILE, stats)


def _count(names: Any) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _tell_funnel(outcome: Outcome) -> list[dict[str, Any]]:
    lost = Counter(each.stage for each in outcome.rejected)
    left = len(outcome.selected) + len(outcome.rejected)
    funnel = []
    for stage in STAGES:
        left -= lost[stage]
        funnel.append({"stage": stage, "rejected": lost[stage], "left": left})
    return funnel


def _tell_rewriter(place: Workplace) -> dict[str, Any]:
    rewrites, settings = place.rewrites, place.settings.rewriter
    prompt, completion = sum(each.prompt_tokens for each in rewrites), sum(each.completion_tokens for each in rewrites)
    cost = (prompt * settings.prompt_price + completion * settings.completion_price) / 1e6
    return {
        "name": settings.name.partition("@")[0],
        "answers": sum(each.status != "failed" for each in rewrites),
        "outcomes": _count(each.status for each in place.settled.values()),
        "malformed": sum(each.status == "malformed" for each in rewrites),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cost": round(cost, 6),
        "cost_per_rewrite": round(cost / kept, 6) if (kept := len(place.pairs)) else None,
    }


def _tell_judges(place: Workplace) -> dict[str, Any]:
    """By modality and judge, how many of the measured safe and unsafe sides it calls unsafe."""
    texts = [
        place.measures[key]
        for pair in place.pairs.values()
        if (key := (pair.candidate.id, pair.unsafe_caption)) in place.measures
    ]
    found: dict[str, Any] = {}
    for modality, rows in (("texts", texts), ("pictures", list(place.pictures.values()))):
        names = dict.fromkeys(name for row in rows for name in row.judges)
        found[modality] = {
            name: {
                "measured": len(rows),
                **{side: sum(row.judges[name][side] >= 1 for row in rows) for side in ("safe", "unsafe")},
            }
            for name in names
        }
    return found


def _tell_leakage(place: Workplace, outcome: Outcome) -> dict[str, Any] | None:
    settings = place.settings.leakage
    if settings.training is None:
        return None
    leaked = Counter(reason for each in place.nearness.values() for reason in each.tell(settings))
    nearest = [
        place.nearness[key] for pid in outcome.selected if (key := (pid, place.pairs[pid].unsafe_caption)) in place.nearness
    ]
    return {
        "training": settings.training,
        "near_duplicate": settings.near_duplicate,
        "compared": len(place.nearness),
        "leaked": dict(leaked),
        "nearest_safe_caption": round(max((each.safe for each in nearest), default=-1.0), 4),
        "nearest_unsafe_caption": round(max((each.unsafe for each in nearest), default=-1.0), 4),
    }


def _tell_review(place: Workplace) -> dict[str, Any]:
    found = measure_agreement(place.standing)
    verdicts = list(place.reviewed.values())
    return {
        "reviewers": {name: len(given) for name, given in place.standing.items()},
        "accepted": sum(each.kept for each in verdicts),
        "rejected": sum(not each.kept for each in verdicts),
        "edited": sum(each.unsafe_caption is not None for each in verdicts),
        "disputed": sum(each.disputed for each in verdicts),
        "shared_pairs": found.pairs,
        "agreement": None if found.agreement is None else round(found.agreement, 4),
        "kappa": None if found.kappa is None else round(found.kappa, 4),
    }
