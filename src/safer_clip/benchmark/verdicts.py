"""Verdicts of the human review: their journal, which of them stand, and how far reviewers agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any, Literal, get_args

from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.journals import append_rows, read_journal

VERDICTS_FILE = "verdicts.jsonl"
Choice = Literal["accept", "reject", "edit", "undo"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the journal.

    Attributes:
        reviewer: who; any name but an empty one.
        id: of the pair; for an undo, of the pair whose verdict is taken back.
        verdict: ``"accept"``, ``"reject"``, ``"edit"`` or ``"undo"``.
        unsafe_caption: for an edit, the new text; else ``None``.
        time: UTC, ISO 8601.
    """

    reviewer: str
    id: str
    verdict: Choice
    unsafe_caption: str | None = None
    time: str = ""


Standing = dict[str, dict[str, Verdict]]
"""By reviewer and id, the verdict that counts."""


def append_verdict(folder: Path, verdict: Verdict) -> Verdict:
    """Write a verdict to a benchmark's journal; it is on disk when this returns.

    Returns:
        The verdict with its time, which is now unless it had one.

    Raises:
        DataError: the verdict is not sound: an empty reviewer, id or edit.
    """
    log = ProblemLog(folder / VERDICTS_FILE)
    told = {**asdict(verdict), "time": verdict.time or datetime.now(UTC).isoformat(timespec="seconds")}
    whole = _check(told, None, log)
    log.raise_if_errors()
    append_rows(folder / VERDICTS_FILE, [{name: value for name, value in told.items() if value is not None}])
    return whole


def read_verdicts(folder: Path) -> list[Verdict]:
    """Read a benchmark's journal in the order of its lines; a torn last line is no line.

    Raises:
        DataError: names every line that is no verdict.
    """
    path = folder / VERDICTS_FILE
    log = ProblemLog(path)
    verdicts = [_check(row, number, log) for number, row in enumerate(read_journal(path), start=1)]
    log.raise_if_errors()
    return verdicts


def find_standing(verdicts: Sequence[Verdict]) -> Standing:
    """Which verdicts count.

    A reviewer's later verdict on a pair replaces the earlier one. An undo takes back the last verdict that the reviewer
    has not taken back yet, whatever pair it was on, so that the one before it on that pair, if any, counts again; with
    nothing left to take back it does nothing.
    """
    return {reviewer: {verdict.id: verdict for verdict in given} for reviewer, given in _replay(verdicts).items()}


def find_last(verdicts: Sequence[Verdict], reviewer: str) -> Verdict | None:
    """The verdict of a reviewer that an undo would take back now, or ``None`` if nothing is left to take back."""
    given = _replay(verdicts).get(reviewer)
    return given[-1] if given else None


def _replay(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """By reviewer, the verdicts that were not taken back, in the order given."""
    history: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        given = history.setdefault(verdict.reviewer, [])
        if verdict.verdict != "undo":
            given.append(verdict)
        elif given:
            given.pop()
    return history


@dataclass(frozen=True, slots=True)
class Settled:
    """What all reviewers together say of a pair.

    Attributes:
        kept: nobody rejected it.
        unsafe_caption: the text of the latest edit, or ``None`` if nobody edited it.
        disputed: the reviewers' verdicts differ.
    """

    kept: bool
    unsafe_caption: str | None
    disputed: bool


def settle(standing: Standing) -> dict[str, Settled]:
    """Combine reviewers, by id: one rejection is enough to leave a pair out, and the latest edit is taken."""
    by_id: dict[str, list[Verdict]] = {}
    for given in standing.values():
        for verdict in given.values():
            by_id.setdefault(verdict.id, []).append(verdict)
    return {key: _combine(given) for key, given in by_id.items()}


def _combine(given: Sequence[Verdict]) -> Settled:
    edits = sorted((each for each in given if each.verdict == "edit"), key=lambda each: each.time)
    return Settled(
        kept=all(each.verdict != "reject" for each in given),
        unsafe_caption=edits[-1].unsafe_caption if edits else None,
        disputed=len({each.verdict for each in given}) > 1,
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far reviewers agree on the pairs that both of a couple looked at; accept, edit and reject are three answers.

    Attributes:
        pairs: judged by two reviewers, summed over couples of reviewers.
        agreement: share of equal answers, 0 to 1; the mean over couples, ``None`` if nobody shared a pair.
        kappa: Cohen's kappa (Educational and Psychological Measurement, 1960), the mean over couples for which it is
            defined: not where both gave one and the same answer throughout.
    """

    pairs: int
    agreement: float | None
    kappa: float | None


def measure_agreement(standing: Standing) -> Agreement:
    """Compare every couple of reviewers."""
    couples = [_compare(left, right) for left, right in combinations(standing.values(), 2)]
    shared = [found for found in couples if found.pairs]
    rates = [found.agreement for found in shared if found.agreement is not None]
    kappas = [found.kappa for found in shared if found.kappa is not None]
    return Agreement(
        pairs=sum(found.pairs for found in shared),
        agreement=mean(rates) if rates else None,
        kappa=mean(kappas) if kappas else None,
    )


def _compare(left: Mapping[str, Verdict], right: Mapping[str, Verdict]) -> Agreement:
    answers = [(left[key].verdict, right[key].verdict) for key in left if key in right]
    if not answers:
        return Agreement(0, None, None)
    count = len(answers)
    observed = sum(one == other for one, other in answers) / count
    ours, theirs = Counter(one for one, _ in answers), Counter(other for _, other in answers)
    expected = sum(ours[choice] * theirs[choice] for choice in ours) / count**2
    kappa = (observed - expected) / (1 - expected) if expected < 1 else None
    return Agreement(count, observed, kappa)


def _check(row: Mapping[str, Any], number: int | None, log: ProblemLog) -> Verdict:
    for field in ("reviewer", "id"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            log.error(Kind.MISSING_FIELD, "is empty", row=number, field=field)
    if row.get("verdict") not in get_args(Choice):
        allowed = ", ".join(get_args(Choice))
        log.error(Kind.WRONG_TYPE, f"expected one of {allowed}", row=number, field="verdict")
    text = row.get("unsafe_caption")
    if row.get("verdict") == "edit" and (not isinstance(text, str) or not text.strip()):
        log.error(Kind.EMPTY_CAPTION, "an edit needs the new text", row=number, field="unsafe_caption")
    known = {name: row[name] for name in Verdict.__dataclass_fields__ if row.get(name) is not None}
    return Verdict(**{"reviewer": "", "id": "", "verdict": "accept"} | known)
