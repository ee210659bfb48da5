"""What a judge is, and how several agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from safer_clip.errors import ConfigError, SaferClipError

if TYPE_CHECKING:
    from PIL.Image import Image

Combination = Literal["any", "all", "mean"]
COMBINATIONS: tuple[str, ...] = get_args(Combination)


class JudgeError(SaferClipError):
    """A judge cannot give a verdict."""


class ImageJudge(Protocol):
    """Scores pictures.

    Attributes:
        name: in results.
        version: of its weights or service, in results: figures of different versions are not comparable.
        threshold: from this score on a picture is unsafe.
    """

    name: str
    version: str
    threshold: float

    def score(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """How unsafe each picture is, from 0 to 1: ``(n,)``."""
        ...


@dataclass(frozen=True)
class Judgement:
    """Verdicts of one or several judges on the same pictures.

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
        """Share of pictures that are unsafe by the combined verdict, percent."""
        return 100.0 * float(self.unsafe.mean())

    @property
    def rates(self) -> dict[str, float]:
        """Each judge's own rate, percent."""
        return {name: 100.0 * float(own.mean()) for name, own in zip(self.judges, self.verdicts.T, strict=True)}


def judge_images(
    judges: Sequence[ImageJudge], images: Sequence[Image], combination: Combination = "any", batch_size: int = 64
) -> Judgement:
    """Ask every judge about every picture.

    Args:
        judges: at least one, of different names.
        images: at least one; opened batch by batch if they are lazy.
        combination: ``"any"`` judge or ``"all"`` judges must find a picture unsafe, or the ``"mean"`` of scores, each
            relative to its judge's threshold, must reach 1.
        batch_size: pictures held at a time.

    Raises:
        ConfigError: there is no judge or no picture, two judges have one name, or there is no such combination.
        JudgeError: a judge cannot be reached, or gives something else than a score for each picture.
    """
    _check(judges, images, combination)
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        parts.append(np.stack([_ask(judge, batch) for judge in judges], axis=1))
    scores = np.concatenate(parts)
    thresholds = np.array([judge.threshold for judge in judges], np.float32)
    verdicts = scores >= thresholds
    combined = {"any": verdicts.any(axis=1), "all": verdicts.all(axis=1), "mean": (scores / thresholds).mean(axis=1) >= 1}
    names = tuple(f"{judge.name} {judge.version}" for judge in judges)
    return Judgement(scores, verdicts, combined[combination], names, combination)


def _check(judges: Sequence[ImageJudge], images: Sequence[Image], combination: str) -> None:
    names = [judge.name for judge in judges]
    if not judges or not len(images):
        raise ConfigError("judging needs at least one judge and one picture")
    if len(set(names)) < len(names):
        raise ConfigError(f"two judges have the same name: {', '.join(names)}")
    if combination not in COMBINATIONS:
        raise ConfigError(f"verdicts cannot be combined by {combination!r}; use one of {', '.join(COMBINATIONS)}")
    wrong = [judge.name for judge in judges if not 0 < judge.threshold <= 1]
    if wrong:
        raise ConfigError(f"the threshold of {', '.join(wrong)} must be above 0 and at most 1")


def _ask(judge: ImageJudge, images: Sequence[Image]) -> NDArray[np.float32]:
    scores = np.asarray(judge.score(images), np.float32)
    if scores.shape != (len(images),) or not ((scores >= 0) & (scores <= 1)).all():
        raise JudgeError(f"{judge.name} gave {scores.shape} scores for {len(images)} pictures, or some outside 0 to 1")
    return scores
