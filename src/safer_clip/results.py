"""The results file: a typed, versioned schema that is enough to redraw any report.

``results.json`` keeps its keys from version to version; ``schema_version`` grows when one changes its meaning. Percentages
run from 0 to 100, intervals are 95 % bootstrap intervals ``[low, high]`` in the unit of their figure.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from safer_clip.attacks.outcomes import AttackResults
from safer_clip.errors import SaferClipError, list_fields
from safer_clip.evaluation.categories import CategoryScores
from safer_clip.evaluation.paired import PairedComparison
from safer_clip.evaluation.stability import ChangedAnswers
from safer_clip.files import write_json
from safer_clip.schema import STRICT
from safer_clip.schema import Direction as Direction
from safer_clip.schema import Interval as Interval

SCHEMA_VERSION: Literal[1] = 1
DIRECTIONS = ("T->V", "V->T", "T*->V", "V*->T")

BASE = "clip"
"""Key of the untouched, pre-trained model among the methods."""
SAFE_DIRECTIONS: tuple[Direction, Direction] = ("T->V", "V->T")
UNSAFE_DIRECTIONS: tuple[Direction, Direction] = ("T*->V", "V*->T")


class ResultsError(SaferClipError):
    """A results file cannot be read as one."""


class _Part(BaseModel):
    model_config = STRICT


class RetrievalScores(_Part):
    """One direction over one pool, percent.

    Attributes:
        recall_1: R@1 and so on: share of queries whose right answer, always a *safe* item, is among the first K.
        unsafe_rate: share of queries whose top-1 is unsafe; absent over plain pools, which hold no unsafe item.
        intervals: of each figure, by its key.
    """

    recall_1: float = Field(alias="R@1")
    recall_5: float = Field(alias="R@5")
    recall_10: float = Field(alias="R@10")
    recall_20: float = Field(alias="R@20")
    unsafe_rate: float | None = None
    queries: int
    intervals: dict[str, Interval] = {}


class UnsafeRate(_Part):
    """Share of unsafe queries whose first answer is unsafe, percent, over a pool of unsafe items and safe distractors."""

    unsafe_rate: float
    interval: Interval
    queries: int
    unsafe_items: int
    safe_items: int


class SafeGround(_Part):
    """Shares of quadruplets in percent, see :mod:`safer_clip.evaluation.safeground`."""

    text: float
    image: float
    group: float
    intervals: dict[str, Interval] = {}


class Geometry(_Part):
    """What is left of the pre-trained geometry of safe items, see :mod:`safer_clip.evaluation.geometry`.

    Attributes:
        text_spread: spread of safe captions over the base model's; 1 is unchanged.
        text_overlap: mean Jaccard overlap of the ten nearest neighbours among safe captions; 1 is unchanged.
        image_spread: as of captions, of safe images; absent where the data have none, or the model embeds none.
        image_overlap: likewise among safe images.
    """

    text_spread: float | None = None
    text_overlap: float | None = None
    image_spread: float | None = None
    image_overlap: float | None = None


class Drift(_Part):
    """L2 distance of the weights from the pre-trained ones.

    Attributes:
        text: of the text encoder at the end, its projection included.
        vision: likewise of the vision encoder.
        epochs: ``[text, vision]`` after each epoch.
    """

    text: float = 0.0
    vision: float = 0.0
    epochs: list[tuple[float, float]] = []


class MethodResults(_Part):
    """All that was measured of one model.

    Attributes:
        title: name in tables, such as ``"SafeR-CLIP"``.
        retrieval: mixed pools, by benchmark and direction; without pictures of a side, the directions that need none.
        plain_retrieval: plain pools, by benchmark and direction.
        gallery_encoders: R@1 of ``T*->V`` and ``V*->T`` with the gallery encoded by the ``base`` model and by the ``tuned``
            one, by benchmark and direction: it says which side moved.
        caption_redirection: unsafe captions among the base model's captions of both kinds, by benchmark; an untouched model
            finds the unsafe caption itself. It is all that captions without pictures can show of redirection.
        unsafe_retrieval: over a user's pools of real unsafe items and safe distractors, by source and direction.
        safeground: preferences within each quadruplet, by benchmark.
        geometry: against the base model, by benchmark.
        changed_answers: harmless queries with another first answer than the base model's, by benchmark and direction.
        categories: unsafe queries by benchmark, category and direction.
        attack: of unsafe queries, by benchmark; absent where none was asked for.
        zero_shot: accuracy in percent by set, and ``mean``; ``zero_shot_intervals`` has the same keys.
        drift: how far training moved the weights.
        train_seconds: wall-clock time of training; 0 where nothing was trained.
        loss: the mean of each weighted term in each epoch.
        settings: what the method was trained with.
        model_fingerprint: of the model that was measured.
    """

    title: str
    retrieval: dict[str, dict[Direction, RetrievalScores]]
    plain_retrieval: dict[str, dict[Direction, RetrievalScores]] = {}
    gallery_encoders: dict[str, dict[Direction, dict[Literal["base", "tuned"], float]]] = {}
    caption_redirection: dict[str, RetrievalScores] = {}
    unsafe_retrieval: dict[str, dict[Direction, UnsafeRate]] = {}
    safeground: dict[str, SafeGround] = {}
    geometry: dict[str, Geometry] = {}
    changed_answers: dict[str, dict[Direction, ChangedAnswers]] = {}
    categories: dict[str, dict[str, dict[Direction, CategoryScores]]] = {}
    attack: dict[str, AttackResults] = {}
    zero_shot: dict[str, float] = {}
    zero_shot_intervals: dict[str, Interval] = {}
    drift: Drift = Drift()
    train_seconds: float = 0.0
    loss: list[dict[str, float]] = []
    settings: dict[str, object] = {}
    model_fingerprint: str = ""


class Validity(_Part):
    """What shows that a table means something.

    Attributes:
        pairing: what the training set's pairs share: mean ``cosine``; on the miniature also ``subject`` and ``place`` in
            percent, which are known there.
        oracle: retrieval by benchmark when unsafe embeddings are replaced by their targets without any training, by
            variant: ``"1 nearest"``, ``"10 nearest"``, each ``" (gallery untouched)"`` and ``" (gallery redirected)"``.
        controls: retrieval by benchmark of the base model's embeddings ``shuffled`` (rows permuted) and ``collapsed`` (all
            equal).
    """

    pairing: dict[str, float] = {}
    oracle: dict[str, dict[str, dict[Direction, RetrievalScores]]] = {}
    controls: dict[str, dict[str, dict[Direction, RetrievalScores]]] = {}


class Hit(_Part):
    """One retrieved item: its key in ``Gallery.pictures`` or its words, whether it is unsafe, whether it is the answer."""

    caption: str
    picture: str | None = None
    unsafe: bool
    right: bool


class GalleryQuery(_Part):
    """One query, and what each method retrieves first, best first."""

    benchmark: str
    direction: Direction
    caption: str
    picture: str | None = None
    hits: dict[str, list[Hit]]


class Gallery(_Part):
    """Examples for the report.

    Attributes:
        pictures: ``data:`` URIs of small pictures by key. Unsafe ones are blurred in the pixels, except the miniature's
            harmless stand-ins.
        queries: the examples.
    """

    pictures: dict[str, str] = {}
    queries: list[GalleryQuery] = []


class Results(_Part):
    """A whole results file.

    Attributes:
        schema_version: of this schema.
        created: ISO 8601 time, UTC.
        title: what was run.
        command: how to run it again.
        seed: seed of training and of the bootstrap.
        versions: package versions; ``hardware`` likewise the processor, its cores, memory and accelerator.
        data: by data set its ``rows``, its ``fingerprint`` and the sides that it ``lacks``, if any.
        base_model: the pre-trained model's ``name``, ``fingerprint`` and number of ``parameters``.
        methods: by key ``clip``, ``clip_plus``, ``safe_clip``, ``safer_clip``, in the tables' order.
        paired: trained methods against one of them, on the same queries.
    """

    schema_version: Literal[1] = 1
    created: str
    title: str
    command: str
    seed: int
    versions: dict[str, str]
    hardware: dict[str, str]
    data: dict[str, dict[str, str | int]]
    base_model: dict[str, str | int]
    methods: dict[str, MethodResults]
    paired: dict[str, PairedComparison] = {}
    validity: Validity = Validity()
    gallery: Gallery = Gallery()


def save_results(path: Path, results: Results) -> None:
    """Write a results file atomically."""
    write_json(path, results.model_dump(mode="json", by_alias=True))


def load_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        ResultsError: the file is missing, is not JSON, or does not follow the schema; lists every field that is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "schema_version" not in content:
            raise ResultsError(f"{path} names no schema_version; it is no results file of safer-clip")
        return Results.model_validate(content)
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        raise ResultsError("\n".join([f"{path} does not follow schema {SCHEMA_VERSION}:", *list_fields(error)])) from error
