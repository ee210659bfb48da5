"""Everything that is measured of a model: retrieval over both kinds of pool, which side moved, zero-shot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from safer_clip.attacks.settings import AttackSettings
from safer_clip.data.pools import UnsafePool
from safer_clip.evaluation.retrieval import Floats, QuadrupletEmbeddings
from safer_clip.evaluation.scoring import (
    Scores,
    compare_geometry,
    score_against,
    score_captions,
    score_mixed,
    score_plain,
    score_safeground,
    score_zero_shot,
)
from safer_clip.evaluation.zero_shot import average_prompts, classify
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.objectives.base import SIDES
from safer_clip.results import Direction, MethodResults

if TYPE_CHECKING:
    from datasets import Dataset

Sides = Mapping[str, QuadrupletEmbeddings]
Answers = dict[str, tuple[NDArray[np.int64], Sequence[int]]]
"""By classification set, the predicted and the true classes."""


@dataclass(frozen=True)
class ClassificationSet:
    """Pictures with classes and prompts, ready to embed.

    Attributes:
        name: key in results.
        images: the pictures.
        labels: class index of each.
        prompts: for each class its ensemble of prompts.
    """

    name: str
    images: Sequence[Any]
    labels: Sequence[int]
    prompts: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Suite:
    """What models are measured on.

    Attributes:
        benchmarks: quadruplets by name; each has the pictures of a side for all rows or for none.
        zero_shot: classification sets.
        pools: real unsafe items among safe distractors.
        attack: how far attacks on each benchmark go; none leaves them out.
        harmless: the unsafe pictures are harmless stand-ins, and the report may show them as they are.
        seed: of the bootstrap, of the shuffled control and of the choice of examples.
    """

    benchmarks: Mapping[str, Dataset]
    zero_shot: Sequence[ClassificationSet] = ()
    pools: Sequence[UnsafePool] = ()
    attack: AttackSettings | None = None
    harmless: bool = False
    seed: int = 0


def classify_set(encoder: DualEncoder, zero_shot: ClassificationSet) -> NDArray[np.int64]:
    """Predicted class of each picture: ``(n,)``."""
    prompts = [prompt for ensemble in zero_shot.prompts for prompt in ensemble]
    owners = [label for label, ensemble in enumerate(zero_shot.prompts) for _ in ensemble]
    similarity = encoder.similarity
    classifier = average_prompts(encoder.encode_texts(prompts), owners, similarity)
    images: Floats = encoder.encode_images(zero_shot.images)
    return classify(similarity.as_queries(images, "text"), similarity.as_gallery(classifier))


def score_model(title: str, tuned: Sides, base: Sides | None, seed: int = 0) -> MethodResults:
    """Score a model's embeddings of the benchmarks, as far as their sides allow.

    Args:
        title: the method's name in tables.
        tuned: the model's embeddings by benchmark.
        base: the pre-trained model's, to tell which side moved; none leaves that out.
        seed: of the bootstrap.
    """
    mixed = {name: score_mixed(sides, seed) for name, sides in tuned.items()}
    # across models only where they embed into the same space
    alike = {name: sides for name, sides in tuned.items() if base and base[name].similarity == sides.similarity}
    crossed = {name: score_against(sides, base[name], seed) for name, sides in alike.items()} if base else {}
    worded = {name: sides for name, sides in alike.items() if sides.has("safe_text")}
    captions = {name: score_captions(sides, base[name], seed) for name, sides in worded.items()} if base else {}
    return MethodResults(
        title=title,
        retrieval=mixed,
        plain_retrieval={name: score_plain(sides, seed) for name, sides in tuned.items()},
        caption_redirection=captions,
        safeground={name: score_safeground(sides, seed) for name, sides in tuned.items() if sides.has(*SIDES)},
        geometry={name: compare_geometry(sides, base[name]) for name, sides in tuned.items()} if base else {},
        gallery_encoders={name: _compare_galleries(scores, mixed[name]) for name, scores in crossed.items()},
    )


def classify_sets(encoder: DualEncoder, sets: Sequence[ClassificationSet]) -> Answers:
    """Classify every set's pictures."""
    return {each.name: (classify_set(encoder, each), each.labels) for each in sets}


def add_zero_shot(results: MethodResults, answers: Answers, seed: int = 0) -> MethodResults:
    """Return the results with the zero-shot figures of all sets, of which there is at least one."""
    figures, intervals = score_zero_shot(answers, seed)
    return results.model_copy(update={"zero_shot": figures, "zero_shot_intervals": intervals})


def _compare_galleries(crossed: Scores, mixed: Scores) -> dict[Direction, dict[Literal["base", "tuned"], float]]:
    return {
        direction: {"base": crossed[direction].recall_1, "tuned": mixed[direction].recall_1}
        for direction in mixed
        if "*" in direction and direction in crossed
    }
