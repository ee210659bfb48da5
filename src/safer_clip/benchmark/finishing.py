"""From measures to the benchmark: filters, review and selection, with no model at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from safer_clip.benchmark.candidates import Rejection
from safer_clip.benchmark.filtering import check_pictures, check_texts, find_extremes
from safer_clip.benchmark.measures import Pair
from safer_clip.benchmark.selection import Eligible, select_pairs
from safer_clip.benchmark.workplace import Workplace, write_lines
from safer_clip.data.tags import UNKNOWN

QUADRUPLETS_FILE, REJECTIONS_FILE = "quadruplets.jsonl", "rejections.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What became of every picture of the source.

    Attributes:
        selected: ids of the benchmark, in the source's order.
        rejected: all others.
    """

    selected: tuple[str, ...]
    rejected: tuple[Rejection, ...]


def find_text_reasons(place: Workplace, pair: Pair) -> tuple[str, ...]:
    """Why the captions of a pair are not good enough: by measures, and by nearness to a training set."""
    key = (pair.candidate.id, pair.unsafe_caption)
    if key not in place.measures:
        return ("not measured yet",)
    reasons = check_texts(pair, place.measures[key], place.rules)
    near = place.nearness.get(key)
    return reasons + (near.tell(place.settings.leakage) if near else ())


def decide(place: Workplace, among: Collection[str] | None = None) -> Outcome:
    """Apply thresholds, verdicts and the selection to what is known of every candidate.

    Args:
        place: the folder.
        among: choose from these ids only, if given.
    """
    rejected = list(place.dropped)
    eligible: list[Eligible] = []
    for key in place.candidates:
        found = _reject(place, key)
        if found:
            rejected.append(found)
        else:
            measure = place.measures[key, place.pairs[key].unsafe_caption]
            eligible.append(Eligible(key, place.settled[key].category or UNKNOWN, measure.similarity))
    open_ones = [each for each in eligible if among is None or each.id in among]
    chosen = tuple(each.id for each in select_pairs(open_ones, place.settings.selection, place.settings.seed))
    kept = set(chosen)
    rejected += [Rejection(each.id, "selection", ("not needed",)) for each in eligible if each.id not in kept]
    return Outcome(chosen, tuple(rejected))


def write_benchmark(place: Workplace, outcome: Outcome, safe_images: Mapping[str, str | None]) -> None:
    """Write the benchmark's rows and the reasons for all that is not in it, each atomically.

    Args:
        place: the folder.
        outcome: what is in it.
        safe_images: path in the folder of each selected pair's safe picture; empty for a benchmark of captions.
    """
    write_lines(place.folder / REJECTIONS_FILE, [asdict(each) for each in outcome.rejected])
    rows = [_describe(place, key, safe_images.get(key)) for key in outcome.selected]
    write_lines(place.folder / QUADRUPLETS_FILE, rows)


def _reject(place: Workplace, key: str) -> Rejection | None:
    rewrite = place.settled.get(key)
    if rewrite is None or rewrite.status != "rewritten":
        status = rewrite.status if rewrite else "not asked yet"
        return Rejection(key, "rewriting", (_REWRITING.get(status, status),))
    reasons = find_text_reasons(place, place.pairs[key])
    if not reasons and place.settings.pictures.generator != "none":
        pictures = place.pictures.get(key)
        reasons = check_pictures(pictures.judges, place.settings.thresholds) if pictures else ("no unsafe picture",)
    if reasons:
        return Rejection(key, "filters", reasons)
    verdict = place.reviewed.get(key)
    return Rejection(key, "review", ("rejected in review",)) if verdict and not verdict.kept else None


_REWRITING = {
    "refused": "refused by the rewriter",
    "invalid": "no usable answer of the rewriter",
    "failed": "no answer of the rewriter",
}


def _describe(place: Workplace, key: str, safe_image: str | None) -> dict[str, Any]:
    pair, rewrite = place.pairs[key], place.settled[key]
    pictures = place.pictures.get(key) if place.settings.pictures.generator != "none" else None
    texts = find_extremes(place.measures[key, pair.unsafe_caption].judges)[1]
    images = find_extremes(pictures.judges)[1] if pictures else None
    return {
        "id": key,
        "safe_caption": pair.candidate.caption,
        "unsafe_caption": pair.unsafe_caption,
        "safe_image": safe_image,
        "unsafe_image": pictures.unsafe if pictures else None,
        "category": rewrite.category or UNKNOWN,
        "tag": rewrite.finer or rewrite.category,
        "text_unsafe": None if texts is None else texts >= 1,
        "image_unsafe": None if images is None else images >= 1,
    }
