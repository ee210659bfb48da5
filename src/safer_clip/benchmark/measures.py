"""How little a rewrite changed: pure measures of words and of embeddings, and the journal of what was measured."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from safer_clip.benchmark.candidates import Candidate
from safer_clip.benchmark.judging import score_all, tell_sides
from safer_clip.journals import append_rows, read_journal
from safer_clip.judges.base import TextJudge

if TYPE_CHECKING:
    from safer_clip.models.dual_encoder import DualEncoder

MEASURES_FILE = "measures.jsonl"
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
SideScores = dict[str, dict[str, float]]


def split_words(text: str) -> list[str]:
    """The words of a caption without case; hyphens and apostrophes hold words together."""
    return _WORD.findall(text.casefold())


def measure_kept_words(safe: str, unsafe: str) -> float:
    """Share of the safe caption's words that the unsafe one keeps in order, 0 to 1.

    From the longest matching blocks of :class:`difflib.SequenceMatcher`; words that were only added do not lower it.
    """
    before, after = split_words(safe), split_words(unsafe)
    if not before:
        return 0.0
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(before)


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate with the unsafe caption that counts: the rewriter's, or a reviewer's edit of it."""

    candidate: Candidate
    unsafe_caption: str


@dataclass(frozen=True, slots=True)
class Measure:
    """What was measured of a pair of captions.

    Attributes:
        id: of the candidate.
        unsafe_caption: that was measured; a later edit is measured anew.
        similarity: cosine of both captions.
        kept_tokens: see :func:`measure_kept_words`.
        judges: by judge, the ``safe`` and the ``unsafe`` caption's score divided by the judge's threshold: from 1 on the
            judge calls a text unsafe.
    """

    id: str
    unsafe_caption: str
    similarity: float
    kept_tokens: float
    judges: SideScores


def read_measures(folder: Path) -> dict[tuple[str, str], Measure]:
    """The measures of a benchmark's folder by id and unsafe caption."""
    rows = (Measure(**row) for row in read_journal(folder / MEASURES_FILE))
    return {(row.id, row.unsafe_caption): row for row in rows}


def measure_pairs(pairs: Sequence[Pair], encoder: DualEncoder, judges: Sequence[TextJudge]) -> list[Measure]:
    """Measure pairs of captions; each batch of texts is encoded at once."""
    safe, unsafe = [pair.candidate.caption for pair in pairs], [pair.unsafe_caption for pair in pairs]
    cosines = np.sum(encoder.encode_texts(safe) * encoder.encode_texts(unsafe), axis=1)
    left, right = score_all(judges, safe), score_all(judges, unsafe)
    return [
        Measure(
            pair.candidate.id,
            pair.unsafe_caption,
            round(float(cosine), 6),
            round(measure_kept_words(pair.candidate.caption, pair.unsafe_caption), 4),
            {judge: tell_sides(left[judge][row], right[judge][row]) for judge in left},
        )
        for row, (pair, cosine) in enumerate(zip(pairs, cosines, strict=True))
    ]


def append_measures(folder: Path, measures: Sequence[Measure]) -> None:
    """Add to a folder's journal; on disk when this returns."""
    rows: list[dict[str, Any]] = [{name: getattr(each, name) for name in Measure.__slots__} for each in measures]
    append_rows(folder / MEASURES_FILE, rows)
