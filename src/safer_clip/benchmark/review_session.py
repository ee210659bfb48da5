"""The state of one reviewer's work: made of the pairs and the journal alone, so that a restart loses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from safer_clip.benchmark.review_words import Part, mark_edits
from safer_clip.benchmark.verdicts import Standing, Verdict, find_last, find_standing, measure_agreement
from safer_clip.data.pictures import Picture
from safer_clip.errors import SaferClipError

Decision = Literal["accept", "reject", "edit"]
DECISIONS: tuple[Decision, ...] = ("accept", "edit", "reject")


class ReviewError(SaferClipError):
    """What the reviewer asked for cannot be done; the message is for the page."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What is judged: two captions, with their pictures where there are any."""

    id: str
    safe_caption: str
    unsafe_caption: str
    category: str
    tag: str | None = None
    safe_image: Picture | None = None
    unsafe_image: Picture | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the reviewer is.

    Attributes:
        total: pairs.
        decided: pairs with a verdict that counts.
        next: number of the next undecided pair, after the current one if there is any; ``None`` when all are decided.
        undoable: whether there is a verdict to take back.
    """

    total: int
    decided: int
    next: int | None
    undoable: bool


@dataclass(frozen=True, slots=True)
class PairView:
    """A pair as the page shows it.

    Attributes:
        number: 1-based place in the file.
        id: the pair's.
        category: its category of unsafe content.
        tag: the source's word for it, where that says more.
        safe: the safe caption, taken apart where it differs from the unsafe one.
        unsafe: the unsafe caption likewise, as this reviewer last edited it.
        original: the unsafe caption before that edit, or ``None`` if it stands as it was.
        pictures: whether there is a safe and an unsafe picture.
        verdict: this reviewer's, if any.
        progress: how far the reviewer is.
    """

    number: int
    id: str
    category: str
    tag: str | None
    safe: list[Part]
    unsafe: list[Part]
    original: str | None
    pictures: dict[str, bool]
    verdict: str | None
    progress: Progress


@dataclass(frozen=True, slots=True)
class Partner:
    """How far another reviewer agrees.

    Attributes:
        reviewer: the other's name.
        pairs: judged by both.
        agreement: share of equal answers among them, 0 to 1.
        kappa: Cohen's kappa, ``None`` where it is not defined.
    """

    reviewer: str
    pairs: int
    agreement: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a review.

    Attributes:
        progress: how far the reviewer is.
        counts: pairs by verdict.
        categories: the same by category, in the order in which categories first occur.
        partners: the other reviewers, once this one is done; before that ``None``, so that nobody is swayed.
    """

    progress: Progress
    counts: dict[str, int]
    categories: dict[str, dict[str, int]]
    partners: list[Partner] | None


@dataclass(frozen=True)
class ReviewSession:
    """One reviewer's work at one moment.

    Attributes:
        pairs: in the file's order.
        reviewer: whose work it is.
        verdicts: the whole journal, of all reviewers.
    """

    pairs: Sequence[Pair]
    reviewer: str
    verdicts: Sequence[Verdict]

    @cached_property
    def standing(self) -> Standing:
        """All reviewers' verdicts that count."""
        return find_standing(self.verdicts)

    @cached_property
    def decisions(self) -> dict[str, Verdict]:
        """This reviewer's verdicts that count, by id, on pairs that are still here."""
        ids = {pair.id for pair in self.pairs}
        return {key: verdict for key, verdict in self.standing.get(self.reviewer, {}).items() if key in ids}

    def find_pair(self, key: str) -> int:
        """The number of the pair with this id.

        Raises:
            ReviewError: there is none.
        """
        for number, pair in enumerate(self.pairs, start=1):
            if pair.id == key:
                return number
        raise ReviewError(f"There is no pair {key!r} here (any more).")

    def measure_progress(self, current: int = 0) -> Progress:
        """How far the reviewer is.

        Args:
            current: number of the pair after which to look for the next undecided one first.
        """
        undecided = [number for number, pair in enumerate(self.pairs, start=1) if pair.id not in self.decisions]
        later = [number for number in undecided if number > current]
        return Progress(
            total=len(self.pairs),
            decided=len(self.pairs) - len(undecided),
            next=next(iter([*later, *undecided]), None),
            undoable=find_last(self.verdicts, self.reviewer) is not None,
        )

    def view_pair(self, number: int) -> PairView:
        """What the page shows of a pair.

        Raises:
            ReviewError: there is no pair of this number.
        """
        if not 1 <= number <= len(self.pairs):
            raise ReviewError(f"There is no pair {number}; they run from 1 to {len(self.pairs)}.")
        pair = self.pairs[number - 1]
        verdict = self.decisions.get(pair.id)
        edited = verdict.unsafe_caption if verdict is not None and verdict.verdict == "edit" else None
        safe, unsafe = mark_edits(pair.safe_caption, edited or pair.unsafe_caption)
        return PairView(
            number=number,
            id=pair.id,
            category=pair.category,
            tag=pair.tag,
            safe=safe,
            unsafe=unsafe,
            original=pair.unsafe_caption if edited else None,
            pictures={"safe": pair.safe_image is not None, "unsafe": pair.unsafe_image is not None},
            verdict=verdict.verdict if verdict else None,
            progress=self.measure_progress(number),
        )

    def decide(self, key: str, decision: Decision, text: str | None = None) -> Verdict:
        """Word a verdict for the journal.

        Args:
            key: id of the pair.
            decision: what to say of it.
            text: for an edit, the new unsafe caption; runs of blanks and line breaks become single blanks.

        Raises:
            ReviewError: there is no such pair, or the edit changes nothing or too much.
        """
        pair = self.pairs[self.find_pair(key) - 1]
        if decision != "edit":
            return Verdict(self.reviewer, key, decision)
        caption = " ".join((text or "").split())
        if not caption:
            raise ReviewError("The caption is empty. Write one, or reject the pair.")
        if caption == pair.unsafe_caption:
            raise ReviewError("The caption is as it was. Accept the pair instead.")
        if caption == pair.safe_caption:
            raise ReviewError("This is the safe caption. Reject the pair instead.")
        return Verdict(self.reviewer, key, "edit", caption)

    def undo(self) -> Verdict:
        """Word the taking back of this reviewer's last verdict.

        Raises:
            ReviewError: nothing is left to take back.
        """
        last = find_last(self.verdicts, self.reviewer)
        if last is None:
            raise ReviewError("There is nothing to take back.")
        return Verdict(self.reviewer, last.id, "undo")

    def summarize(self) -> Summary:
        """What came of the review so far."""
        progress = self.measure_progress()
        by_category: dict[str, Counter[str]] = {}
        for pair in self.pairs:
            verdict = self.decisions.get(pair.id)
            by_category.setdefault(pair.category, Counter()).update([verdict.verdict] if verdict else [])
        return Summary(
            progress=progress,
            counts=_spell_out(Counter(verdict.verdict for verdict in self.decisions.values())),
            categories={category: _spell_out(counts) for category, counts in by_category.items()},
            partners=None if progress.next else self._compare(),
        )

    def _compare(self) -> list[Partner]:
        ours = self.standing.get(self.reviewer, {})
        partners = []
        for name, theirs in self.standing.items():
            found = measure_agreement({self.reviewer: ours, name: theirs})
            if name != self.reviewer and found.pairs:
                partners.append(Partner(name, found.pairs, found.agreement, found.kappa))
        return partners


def _spell_out(counts: Counter[str]) -> dict[str, int]:
    return {decision: counts[decision] for decision in DECISIONS}
