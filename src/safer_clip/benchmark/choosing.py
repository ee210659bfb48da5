"""From a source's pictures to candidates: one caption each, and a reason for every picture that is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safer_clip.benchmark.candidates import Candidate, Captioned, Rejection
from safer_clip.benchmark.deduplication import find_exact_duplicates, find_near_duplicates
from safer_clip.benchmark.language import count_words, is_language
from safer_clip.benchmark.refusals import WordLists, find_refusals
from safer_clip.benchmark.settings import SourceSettings
from safer_clip.miniature.dice import Dice

if TYPE_CHECKING:
    from safer_clip.models.dual_encoder import DualEncoder

STAGE = "source"


@dataclass(frozen=True)
class Chooser:
    """How one caption of a picture is chosen.

    Attributes:
        settings: of the source.
        words: for refusals.
        seed: of the choice.
    """

    settings: SourceSettings
    words: WordLists
    seed: int

    def choose(self, item: Captioned) -> str | Rejection:
        """One of the captions that pass, or why there is none.

        A picture is refused as a whole if any of its captions mentions a minor or names a person.
        """
        refusals = dict.fromkeys(
            reason for text in item.captions for reason in find_refusals(text, self.words, self.settings.language)
        )
        if refusals:
            return Rejection(item.id, STAGE, tuple(refusals))
        reasons = {text: self._check(text) for text in item.captions}
        good = [text for text, reason in reasons.items() if reason is None]
        if not good:
            return Rejection(item.id, STAGE, tuple(dict.fromkeys(filter(None, reasons.values()))))
        if self.settings.choice == "first":
            return good[0]
        if self.settings.choice == "longest":
            return max(good, key=len)
        return Dice("caption", self.seed, item.id).choose(good)

    def _check(self, text: str) -> str | None:
        words = count_words(text, self.settings.language)
        if words < self.settings.min_words:
            return "caption too short"
        if words > self.settings.max_words:
            return "caption too long"
        return None if is_language(text, self.settings.language) else "caption in another language"


def sample_items(items: Sequence[Captioned], count: int | None, seed: int) -> list[Captioned]:
    """At most ``count`` of the pictures, drawn by the seed, in their order."""
    if count is None or count >= len(items):
        return list(items)
    ranks = sorted(range(len(items)), key=lambda i: Dice("sample", seed, items[i].id).between(0, 2**40))
    return [items[i] for i in sorted(ranks[:count])]


def choose_candidates(
    items: Sequence[Captioned], chooser: Chooser, encoder: DualEncoder
) -> tuple[list[Candidate], list[Rejection]]:
    """Choose captions and drop those that say the same as an earlier one.

    Returns:
        Candidates in the source's order, and the rejected pictures.
    """
    chosen: list[Candidate] = []
    rejected: list[Rejection] = []
    for item in items:
        found = chooser.choose(item)
        if isinstance(found, Rejection):
            rejected.append(found)
        else:
            chosen.append(Candidate(item.id, found, str(item.path) if item.path else None))
    for name, find in (("exact duplicate", _find_exact), ("near duplicate", _find_near)):
        repeats = find(chosen, encoder, chooser.settings.near_duplicate)
        dropped = [each for each, repeated in zip(chosen, repeats, strict=True) if repeated]
        rejected += [Rejection(each.id, STAGE, (name,)) for each in dropped]
        chosen = [each for each, repeated in zip(chosen, repeats, strict=True) if not repeated]
    return chosen, rejected


def _find_exact(chosen: Sequence[Candidate], _: DualEncoder, __: float) -> Sequence[bool]:
    return [bool(each) for each in find_exact_duplicates([candidate.caption for candidate in chosen])]


def _find_near(chosen: Sequence[Candidate], encoder: DualEncoder, threshold: float) -> Sequence[bool]:
    if not chosen:
        return []
    embeddings = encoder.encode_texts([candidate.caption for candidate in chosen])
    return [bool(each) for each in find_near_duplicates(embeddings, threshold)]
