"""What a rewriter is, and the journal of what it answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from safer_clip.benchmark.candidates import Candidate
from safer_clip.errors import SaferClipError
from safer_clip.journals import append_rows, read_journal

REWRITES_FILE = "rewrites.jsonl"
Status = Literal["rewritten", "refused", "invalid", "failed", "malformed"]
SETTLED: frozenset[str] = frozenset({"rewritten", "refused", "invalid"})


class RewriterError(SaferClipError):
    """The rewriter cannot go on; what it answered so far is kept."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One line of the journal: an answer that was paid for, or a caption given up without one.

    Attributes:
        id: of the candidate.
        status: ``"rewritten"``, ``"refused"`` by the model, ``"invalid"`` after too many answers that were none, or
            ``"failed"`` for want of any answer, which another run tries again. ``"malformed"`` is an answer that was asked
            again, and settles nothing.
        text: the unsafe caption, where it is rewritten.
        category: of the taxonomy, where it is rewritten.
        finer: the finer category, if the rewriter names one.
        attempts: requests made for the caption in this run so far.
        prompt_tokens: of this answer.
        completion_tokens: of this answer.
        seconds: that this answer took.
    """

    id: str
    status: Status
    text: str | None = None
    category: str | None = None
    finer: str | None = None
    attempts: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


Record = Callable[[Sequence[Rewrite]], None]


class Rewriter(Protocol):
    """Turns safe captions into unsafe ones that differ as little as possible.

    Attributes:
        name: for the manifest.
        version: of its model and prompts, for the manifest.
    """

    name: str
    version: str

    def rewrite(self, candidates: Sequence[Candidate], answered: dict[str, int], record: Record) -> None:
        """Rewrite captions, and record each answer as soon as it is there.

        Args:
            candidates: what has to be settled.
            answered: whole answers that an earlier run got for a candidate, all of them malformed, by id.
            record: writes answers to the journal; they are on disk when it returns.

        Raises:
            RewriterError: it makes no sense to go on.
        """
        ...


@dataclass(frozen=True)
class Journal:
    """The rewrites of a benchmark's folder."""

    folder: Path

    def read(self) -> list[Rewrite]:
        """All answers, in the order in which they came."""
        return [Rewrite(**row) for row in read_journal(self.folder / REWRITES_FILE)]

    def record(self, rewrites: Sequence[Rewrite]) -> None:
        """Append answers; they are on disk when this returns."""
        append_rows(self.folder / REWRITES_FILE, [_shorten(each) for each in rewrites])


def find_settled(rewrites: Iterable[Rewrite]) -> dict[str, Rewrite]:
    """By id, the line that settled it; a failure settles only until an answer comes."""
    settled: dict[str, Rewrite] = {}
    for each in rewrites:
        if each.status in SETTLED or (each.status == "failed" and each.id not in settled):
            settled[each.id] = each
    return settled


def run_rewriter(
    rewriter: Rewriter, candidates: Sequence[Candidate], journal: Journal, advance: Callable[[int], None]
) -> None:
    """Rewrite what the journal has not settled; failures of an earlier run are tried again.

    Args:
        rewriter: who rewrites.
        candidates: all of them.
        journal: what is settled, and where answers go.
        advance: told how many candidates were settled just now.

    Raises:
        RewriterError: as :meth:`Rewriter.rewrite`.
    """
    known = journal.read()
    settled = {key for key, each in find_settled(known).items() if each.status in SETTLED}
    answered: dict[str, int] = {}
    for each in known:
        if each.status == "malformed":
            answered[each.id] = answered.get(each.id, 0) + 1

    def record(rewrites: Sequence[Rewrite]) -> None:
        journal.record(rewrites)
        advance(sum(each.status != "malformed" for each in rewrites))

    pending = [candidate for candidate in candidates if candidate.id not in settled]
    advance(len(candidates) - len(pending))
    if pending:
        rewriter.rewrite(pending, answered, record)


def _shorten(rewrite: Rewrite) -> dict[str, Any]:
    row = asdict(rewrite)
    row["seconds"] = round(rewrite.seconds, 3)
    return {name: value for name, value in row.items() if value is not None}
