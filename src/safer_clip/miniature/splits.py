"""The miniature's data sets of quadruplets.

*Mini-ViSU* (style A) pairs safe and unsafe scenes only loosely, as ViSU does. *Mini-ViSU v2* is the same row by row, but
what was to be unsafe did not always come out so, as in ViSUv2: from a caption, a picture or both the unsafe stand-in is left
out, and two labels say so. *Mini-NSFW-Caps* (style B) is tight, as NSFW-Caps is: in picture and caption only the
safety-relevant element changes. Combinations of things are disjoint between training, validation and test
(:func:`~safer_clip.miniature.scenes.pair_bucket`), and the tests share the last bucket.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from safer_clip.errors import ConfigError
from safer_clip.miniature.captions import (
    BENCHMARK,
    TRAINING_SAFE,
    TRAINING_UNSAFE,
    write_caption,
)
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.rendering import render_image
from safer_clip.miniature.scenes import (
    Bucket,
    Kinds,
    Scene,
    compose_pair,
    draw_accessory,
    draw_any_place,
    draw_place,
    draw_scene,
    draw_subject,
    place_bucket,
    swap_accessory,
)
from safer_clip.miniature.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from datasets import Dataset

KEEP_SUBJECT = 0.4
KEEP_PLACE = 0.4
SAFE_KINDS: Kinds = (("pair", 0.74), ("single", 0.16), ("count", 0.05), ("position", 0.05))
# ShieldCLIP (arXiv 2609.39688) publishes of ViSUv2 that 47.7 % of the generated pairs are not unsafe in both modalities. How
# they divide is not published: a picture generator is taken to miss the unsafe part more often than a rewriter of captions,
# and each kind to be frequent enough to be met a few times in a batch of 32
VISU_V2_MIX: Kinds = (("both", 0.523), ("text", 0.22), ("image", 0.13), ("neither", 0.127))
_MIX_LABELS = {"both": (True, True), "text": (True, False), "image": (False, True), "neither": (False, False)}


@dataclass(frozen=True, slots=True)
class ScenePair:
    """A quadruplet with its known truth.

    Attributes:
        id: unique.
        safe: what the safe picture shows.
        unsafe: what the unsafe side was to show.
        safe_caption: of ``safe``.
        unsafe_caption: of ``unsafe``, or of what is left of it.
        text_unsafe: whether the caption tells of the unsafe stand-in; otherwise it tells of the scene without.
        image_unsafe: likewise whether the picture shows it.
    """

    id: str
    safe: Scene
    unsafe: Scene
    safe_caption: str
    unsafe_caption: str
    text_unsafe: bool = True
    image_unsafe: bool = True

    @property
    def shown(self) -> Scene:
        """What the picture of the unsafe side shows."""
        return self.unsafe if self.image_unsafe else replace(self.unsafe, accessory=None)

    @property
    def category(self) -> str:
        """The unsafe stand-in's category."""
        accessory = self.unsafe.accessory
        return (accessory.thing.category if accessory else None) or "unknown"


def draw_loose_pair(dice: Dice, bucket: Bucket) -> tuple[Scene, Scene]:
    """A safe scene and an unsafe one that keeps its subject or its place only sometimes."""
    while True:
        safe = draw_scene(dice, "a", bucket, unsafe=False, safe_kinds=SAFE_KINDS)
        keeps_subject, keeps_place = dice.chance(KEEP_SUBJECT), dice.chance(KEEP_PLACE)
        subject = safe.subject if keeps_subject else draw_subject(dice)
        place = safe.place if keeps_place else draw_any_place(dice)
        thing = draw_accessory(dice, subject, bucket, load_vocabulary().unsafe)
        if thing is not None:
            return safe, compose_pair(dice, "a", subject, place, thing)


def draw_tight_pair(dice: Dice, bucket: Bucket) -> tuple[Scene, Scene]:
    """A safe scene with an accessory, and the same scene with an unsafe thing of the kind that is akin to it."""
    vocabulary = load_vocabulary()
    while True:
        subject = draw_subject(dice)
        unsafe = draw_accessory(dice, subject, bucket, vocabulary.unsafe)
        if unsafe is None:
            continue
        akin = [thing for thing in vocabulary.accessories if thing.family == unsafe.family]
        safe = draw_accessory(dice, subject, bucket, akin)
        if safe is not None:
            scene = compose_pair(dice, "b", subject, draw_any_place(dice), safe)
            return scene, swap_accessory(scene, unsafe)


def _loose_pairs(split: str, bucket: Bucket) -> Iterator[ScenePair]:
    index = 0
    while True:
        name = f"mini_visu/{split}/{index}"
        safe, unsafe = draw_loose_pair(Dice(name), bucket)
        yield ScenePair(
            name,
            safe,
            unsafe,
            write_caption(safe, Dice(name, "safe"), TRAINING_SAFE),
            write_caption(unsafe, Dice(name, "unsafe"), TRAINING_UNSAFE),
        )
        index += 1


def _labelled_pairs(split: str, bucket: Bucket) -> Iterator[ScenePair]:
    """The loose pairs of the same split, some of which came out safe in one half or both."""
    for index, pair in enumerate(_loose_pairs(split, bucket)):
        name = f"mini_visu_v2/{split}/{index}"
        dice = Dice(name)
        text_unsafe, image_unsafe = _MIX_LABELS[dice.weigh(VISU_V2_MIX)]
        if text_unsafe and image_unsafe:
            yield replace(pair, id=name)
            continue
        unsafe = pair.unsafe
        if place_bucket(unsafe.subject, unsafe.place) != bucket:  # the subject is shown alone, which may be another split's
            unsafe = replace(unsafe, place=draw_place(dice, unsafe.subject, bucket))
        told = unsafe if text_unsafe else replace(unsafe, accessory=None)
        caption = write_caption(told, Dice(pair.id, "unsafe"), TRAINING_UNSAFE)
        yield ScenePair(name, pair.safe, unsafe, pair.safe_caption, caption, text_unsafe, image_unsafe)


def _tight_pairs(split: str, bucket: Bucket) -> Iterator[ScenePair]:
    index = 0
    seen: set[str] = set()
    while True:
        name = f"mini_nsfw_caps/{split}/{index}"
        safe, unsafe = draw_tight_pair(Dice(name), bucket)
        captions = [write_caption(scene, Dice(name, "caption"), BENCHMARK) for scene in (safe, unsafe)]
        index += 1
        if seen.isdisjoint(captions):  # a benchmark's captions are its questions: each is asked once
            seen.update(captions)
            yield ScenePair(name, safe, unsafe, captions[0], captions[1])


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """How a split is drawn: its size, the bucket of combinations it may use, and the kind of pairs."""

    size: int
    bucket: Bucket
    draw: Callable[[str, Bucket], Iterator[ScenePair]]


SPLITS: dict[str, dict[str, SplitSpec]] = {
    "mini_visu": {
        "train": SplitSpec(8000, "train", _loose_pairs),
        "validation": SplitSpec(1000, "validation", _loose_pairs),
        "test": SplitSpec(1000, "test", _loose_pairs),
    },
    "mini_visu_v2": {
        "train": SplitSpec(8000, "train", _labelled_pairs),
        "validation": SplitSpec(1000, "validation", _labelled_pairs),
        "test": SplitSpec(1000, "test", _labelled_pairs),
    },
    "mini_nsfw_caps": {"test": SplitSpec(1000, "test", _tight_pairs)},
}


def draw_pairs(benchmark: str, split: str = "test", rows: int | None = None) -> list[ScenePair]:
    """Draw the quadruplets of a split, with their scenes.

    Args:
        benchmark: ``"mini_visu"``, ``"mini_visu_v2"`` or ``"mini_nsfw_caps"``.
        split: ``"train"``, ``"validation"`` or ``"test"``; Mini-NSFW-Caps has a test split only.
        rows: only the first so many.

    Raises:
        ConfigError: there is no such split.
    """
    spec = SPLITS.get(benchmark, {}).get(split)
    if spec is None:
        known = ", ".join(f"{name}/{part}" for name, parts in SPLITS.items() for part in parts)
        raise ConfigError(f"the miniature has no split {benchmark}/{split}; it has {known}")
    pairs = spec.draw(split, spec.bucket)
    return [next(pairs) for _ in range(min(rows or spec.size, spec.size))]


def load_split(benchmark: str, split: str = "test", rows: int | None = None) -> Dataset:
    """Return a split as a ``datasets`` table in the columns of :mod:`safer_clip.data.quadruplets`.

    The pictures are PNG; row ``i`` is ``draw_pairs(benchmark, split)[i]``. Arguments and errors as :func:`draw_pairs`.
    """
    from datasets import Dataset

    from safer_clip.data import quadruplet_features

    cells = [_as_row(pair) for pair in draw_pairs(benchmark, split, rows)]
    columns = {name: [row[name] for row in cells] for name in cells[0]}
    return Dataset.from_dict(columns, features=quadruplet_features())


def _as_row(pair: ScenePair) -> dict[str, object]:
    return {
        "id": pair.id,
        "safe_caption": pair.safe_caption,
        "unsafe_caption": pair.unsafe_caption,
        "safe_image": {"bytes": _encode(pair.safe), "path": None},
        "unsafe_image": {"bytes": _encode(pair.shown), "path": None},
        "category": pair.category,
        "tag": pair.category,
        "text_unsafe": pair.text_unsafe,
        "image_unsafe": pair.image_unsafe,
    }


def _encode(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    render_image(scene).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
