"""Thresholds applied to measures: pure, so that they can be re-tuned without asking any model again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safer_clip.benchmark.deduplication import normalise_caption
from safer_clip.benchmark.language import count_words, is_language
from safer_clip.benchmark.measures import Measure, Pair, SideScores
from safer_clip.benchmark.refusals import WordLists, find_refusals
from safer_clip.benchmark.settings import Thresholds


@dataclass(frozen=True)
class Rules:
    """What pairs of captions are held against.

    Attributes:
        thresholds: of measures.
        words: for refusals, which hold for unsafe captions as for safe ones.
        language: of the captions.
    """

    thresholds: Thresholds
    words: WordLists
    language: str


def check_texts(pair: Pair, measure: Measure, rules: Rules) -> tuple[str, ...]:
    """Every reason for which a pair of captions is not good enough; none if it is."""
    thresholds = rules.thresholds
    words = count_words(pair.unsafe_caption, rules.language)
    unchanged = normalise_caption(pair.candidate.caption) == normalise_caption(pair.unsafe_caption)
    safe, unsafe = find_extremes(measure.judges)
    found = {
        "caption unchanged": unchanged,
        **{f"unsafe caption {reason}": True for reason in find_refusals(pair.unsafe_caption, rules.words, rules.language)},
        "unsafe caption in another language": not is_language(pair.unsafe_caption, rules.language),
        "unsafe caption too short": words < thresholds.min_words,
        "unsafe caption too long": words > thresholds.max_words,
        "too few words kept": measure.kept_tokens < thresholds.kept_tokens,
        "captions too far apart": measure.similarity < thresholds.floor,
        "captions too alike": measure.similarity > thresholds.ceiling,
        "safe caption judged unsafe": safe is not None and safe >= thresholds.safe_text,
        "unsafe caption judged safe": unsafe is not None and unsafe < thresholds.unsafe_text,
    }
    return tuple(reason for reason, applies in found.items() if applies)


def check_pictures(judges: SideScores, thresholds: Thresholds) -> tuple[str, ...]:
    """Every reason for which a pair of pictures is not good enough."""
    safe, unsafe = find_extremes(judges)
    found = {
        "safe picture judged unsafe": safe is not None and safe >= thresholds.safe_image,
        "unsafe picture judged safe": unsafe is not None and unsafe < thresholds.unsafe_image,
    }
    return tuple(reason for reason, applies in found.items() if applies)


def find_extremes(judges: Mapping[str, Mapping[str, float]]) -> tuple[float | None, float | None]:
    """What counts of several judges on each side: the highest score, since one judge that finds something is enough."""
    if not judges:
        return None, None
    safe = [told["safe"] for told in judges.values() if "safe" in told]
    unsafe = [told["unsafe"] for told in judges.values() if "unsafe" in told]
    return max(safe, default=None), max(unsafe, default=None)
