"""What a judge of pictures or texts is, and how several agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from safer_clip.errors import ConfigError, SaferClipError

Combination = Literal["any", "all", "mean"]
COMBINATIONS: tuple[str, ...] = get_args(Combination)


class JudgeError(SaferClipError):
    """A judge cannot give a verdict."""


Item = TypeVar("Item", contravariant=True)


class Judge(Protocol[Item]):
    """Scores pictures or texts.

    Attributes:
        name: in results.
        version: of its weights or service, in results: figures of different versions are not comparable.
        threshold: from this score on an item is unsafe.
        batch_size: items that it is given at a time; verdicts are kept batch by batch.
    """

    name: str
    version: str
    threshold: float
    batch_size: int

    def score(self, items: Sequence[Item], /) -> NDArray[np.float32]:
        """How unsafe each item is, from 0 to 1: ``(n,)``."""
        ...


ImageJudge = Judge[Image]
TextJudge = Judge[str]


@dataclass(frozen=True)
class Judgement:
    """Verdicts of one or several judges on the same items.

    Attributes:
        scores: ``(n, judges)``, from 0 to 1.
        verdicts: each judge's own, bool ``(n, judges)``.
        unsafe: the combined verdict, bool ``(n,)``.
        judges: ``name version`` of each.
        combination: how the combined verdict came about.
    """

    scores: NDArray[np.float32]
    verdicts: NDArray[np.bool_]
    unsafe: NDArray[np.bool_]
    judges: tuple[str, ...]
    combination: str

    @property
    def rate(self) -> float:
        """Share of items that are unsafe by the combined verdict, percent."""
        return 100.0 * float(self.unsafe.mean())

    @property
    def rates(self) -> dict[str, float]:
        """Each judge's own rate, percent."""
        return {name: 100.0 * float(own.mean()) for name, own in zip(self.judges, self.verdicts.T, strict=True)}

    @property
    def mean_scores(self) -> dict[str, float]:
        """Each judge's mean score times 100, as toxicity is reported."""
        return {name: 100.0 * float(own.mean()) for name, own in zip(self.judges, self.scores.T, strict=True)}


def judge_items(judges: Sequence[Judge[Any]], items: Sequence[Any], combination: Combination = "any") -> Judgement:
    """Ask every judge about every picture, or every text.

    Args:
        judges: at least one, of different names or versions.
        items: at least one; pictures are opened batch by batch if they are lazy.
        combination: see :func:`combine_scores`.

    Raises:
        ConfigError: there is no judge or no item, two judges are the same, or there is no such combination.
        JudgeError: a judge cannot be reached, or gives something else than a score for each item.
    """
    check_judges(judges, combination)
    if not len(items):
        raise ConfigError("judging needs at least one picture or text")
    return combine_scores(judges, np.stack([_score_all(judge, items) for judge in judges], axis=1), combination)


def combine_scores(judges: Sequence[Judge[Any]], scores: NDArray[np.float32], combination: Combination) -> Judgement:
    """Verdicts from scores.

    Args:
        judges: at least one.
        scores: ``(n, judges)``, from 0 to 1.
        combination: ``"any"`` judge or ``"all"`` judges must find an item unsafe, or the ``"mean"`` of scores, each
            relative to its judge's threshold, must reach 1.
    """
    thresholds = np.array([judge.threshold for judge in judges], np.float32)
    verdicts = scores >= thresholds
    combined = {"any": verdicts.any(axis=1), "all": verdicts.all(axis=1), "mean": (scores / thresholds).mean(axis=1) >= 1}
    return Judgement(scores, verdicts, combined[combination], tuple(map(label_judge, judges)), combination)


def label_judge(judge: Judge[Any]) -> str:
    """``name version``, as results have it."""
    return f"{judge.name} {judge.version}"


def check_judges(judges: Sequence[Judge[Any]], combination: str) -> None:
    """Refuse what cannot be combined, before anything is judged.

    Raises:
        ConfigError: there is no judge, two are the same, a threshold or the combination is wrong.
    """
    names = [label_judge(judge) for judge in judges]
    if not judges:
        raise ConfigError("judging needs at least one judge")
    if len(set(names)) < len(names):
        raise ConfigError(f"two judges have the same name and version: {', '.join(names)}")
    if combination not in COMBINATIONS:
        raise ConfigError(f"verdicts cannot be combined by {combination!r}; use one of {', '.join(COMBINATIONS)}")
    wrong = [judge.name for judge in judges if not 0 < judge.threshold <= 1]
    if wrong:
        raise ConfigError(f"the threshold of {', '.join(wrong)} must be above 0 and at most 1")


def ask_judge(judge: Judge[Any], items: Sequence[Any]) -> NDArray[np.float32]:
    """Scores of one batch, checked: float32 ``(n,)``.

    Raises:
        JudgeError: the judge gives something else than a score from 0 to 1 for each item.
    """
    scores = np.asarray(judge.score(items), np.float32)
    if scores.shape != (len(items),) or not ((scores >= 0) & (scores <= 1)).all():
        raise JudgeError(f"{judge.name} gave {scores.shape} scores for {len(items)} items, or some outside 0 to 1")
    return scores


def _score_all(judge: Judge[Any], items: Sequence[Any]) -> NDArray[np.float32]:
    starts = range(0, len(items), judge.batch_size)
    return np.concatenate([ask_judge(judge, items[start : start + judge.batch_size]) for start in starts])
