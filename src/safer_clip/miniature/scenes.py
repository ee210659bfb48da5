"""What a scene holds, drawn by dice: a dominant subject, a place, often an accessory.

Scenes are shaped as photographs are: the subject is large and near the middle, the part that may make the scene unsafe is
a smaller accessory at its side. A scene is a description; :mod:`~safer_clip.miniature.rendering` paints it and
:mod:`~safer_clip.miniature.captions` speaks of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

from safer_clip.miniature.dice import Dice
from safer_clip.miniature.places import PLACES, VARIANTS
from safer_clip.miniature.vocabulary import Thing, load_vocabulary

Style = Literal["a", "b"]
Bucket = Literal["train", "validation", "test"]
Position = Literal["left", "right", "top", "bottom"]

STYLES: tuple[Style, Style] = ("a", "b")
POSITIONS: tuple[Position, ...] = ("left", "right", "top", "bottom")
POSITION_CENTRES = {"left": (12, 26), "right": (36, 26), "top": (24, 11), "bottom": (24, 37)}
COUNT_CENTRES = {
    2: ((13, 26), (35, 26)),
    3: ((11, 15), (36, 17), (24, 36)),
    4: ((12, 12), (36, 12), (12, 36), (36, 36)),
}
Kinds = Sequence[tuple[str, float]]
SAFE_KINDS: Kinds = (("pair", 0.45), ("single", 0.31), ("count", 0.12), ("position", 0.12))
_BUCKETS: tuple[Bucket, ...] = (*("train",) * 9, "validation", "test", "test")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture in a scene: centre and size in pixels of a 48-pixel canvas, angle in degrees."""

    thing: Thing
    x: int
    y: int
    size: int
    angle: int
    flipped: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene's content and layout.

    Attributes:
        style: drawing style, ``"a"`` (shaded) or ``"b"`` (flat).
        place: index into :data:`~safer_clip.miniature.places.PLACES`.
        backdrop: which painted variant of the place, and ``light`` its brightness in 1/64.
        subjects: the subject, one picture for each copy of it.
        accessory: the smaller thing at its side, if any.
        position: where a small single subject stands, if the scene is about that.
    """

    style: Style
    place: int
    backdrop: int
    light: int
    subjects: tuple[Drawn, ...]
    accessory: Drawn | None = None
    position: Position | None = None

    @property
    def subject(self) -> Thing:
        """What the scene is mainly of."""
        return self.subjects[0].thing

    @property
    def unsafe(self) -> bool:
        """Whether the scene holds an unsafe stand-in."""
        return self.accessory is not None and self.accessory.thing.unsafe

    @property
    def bucket(self) -> Bucket:
        """The split that may use the scene's combination of things."""
        if self.accessory is None:
            return place_bucket(self.subject, self.place)
        return pair_bucket(self.subject, self.accessory.thing)


def place_bucket(subject: Thing, place: int) -> Bucket:
    """The only split in which ``subject`` is shown alone at ``place``; each subject has nine, one and two places."""
    return _BUCKETS[(crc32(subject.emoji.encode()) + place) % len(_BUCKETS)]


def pair_bucket(subject: Thing, accessory: Thing) -> Bucket:
    """The only split in which ``subject`` and ``accessory`` meet: 9/12, 1/12 and 2/12 of all pairs."""
    return _BUCKETS[crc32(f"{subject.emoji}+{accessory.emoji}".encode()) % len(_BUCKETS)]


def draw_subject(dice: Dice) -> Thing:
    """Draw a subject; things that are mostly accessories are the subject now and then."""
    vocabulary = load_vocabulary()
    return dice.choose(vocabulary.accessories if dice.chance(0.15) else vocabulary.subjects)


def draw_any_place(dice: Dice) -> int:
    """Draw a place for a scene whose split its two things decide."""
    return dice.between(0, len(PLACES) - 1)


def draw_place(dice: Dice, subject: Thing, bucket: Bucket) -> int:
    """Draw one of the places where the subject may stand alone in this split."""
    return dice.choose([p for p in range(len(PLACES)) if place_bucket(subject, p) == bucket])


def draw_accessory(dice: Dice, subject: Thing, bucket: Bucket, among: Sequence[Thing]) -> Thing | None:
    """Draw one of the things that may meet the subject in this split; ``None`` if there is none."""
    allowed = [thing for thing in among if thing is not subject and pair_bucket(subject, thing) == bucket]
    return dice.choose(allowed) if allowed else None


def compose_single(dice: Dice, style: Style, subject: Thing, place: int) -> Scene:
    """One large subject near the middle."""
    drawn = _draw(dice, subject, (24, 26), (26, 34), 3)
    return Scene(style, place, dice.between(0, VARIANTS - 1), dice.between(56, 68), (drawn,))


def compose_pair(dice: Dice, style: Style, subject: Thing, place: int, accessory: Thing) -> Scene:
    """A subject a little off the middle and an accessory at the side with more room."""
    scene = compose_single(dice, style, subject, place)
    side = 1 if dice.chance(0.5) else -1
    beside = _draw(dice, accessory, (24 + side * 15, dice.between(26, 36)), (15, 19), 1)
    moved = replace(scene.subjects[0], x=scene.subjects[0].x - side * 5)
    return replace(scene, subjects=(moved,), accessory=beside)


def compose_position(dice: Dice, style: Style, subject: Thing, place: int, position: Position) -> Scene:
    """One smaller subject clearly at the left, right, top or bottom."""
    scene = compose_single(dice, style, subject, place)
    drawn = _draw(dice, subject, POSITION_CENTRES[position], (18, 22), 2)
    return replace(scene, subjects=(drawn,), position=position)


def compose_count(dice: Dice, style: Style, subject: Thing, place: int, count: int) -> Scene:
    """Two to four copies of the subject, each drawn a little differently."""
    scene = compose_single(dice, style, subject, place)
    sizes = (18, 22) if count < 4 else (16, 20)
    copies = tuple(_draw(dice, subject, centre, sizes, 2) for centre in COUNT_CENTRES[count])
    return replace(scene, subjects=copies)


def swap_accessory(scene: Scene, thing: Thing) -> Scene:
    """The same scene, everything in its place, with another accessory: the minimal edit."""
    if scene.accessory is None:
        raise ValueError("the scene has no accessory to swap")
    return replace(scene, accessory=replace(scene.accessory, thing=thing))


def draw_scene(dice: Dice, style: Style, bucket: Bucket, unsafe: bool, safe_kinds: Kinds = SAFE_KINDS) -> Scene:
    """Draw a whole scene of the given split, safe or unsafe; ``safe_kinds`` says how often a safe one is of which kind."""
    subject = draw_subject(dice)
    vocabulary = load_vocabulary()
    kind = "pair" if unsafe else dice.weigh(safe_kinds)
    if kind == "pair":
        thing = draw_accessory(dice, subject, bucket, vocabulary.unsafe if unsafe else vocabulary.accessories)
        if thing is None:
            return draw_scene(dice, style, bucket, unsafe, safe_kinds)
        return compose_pair(dice, style, subject, draw_any_place(dice), thing)
    place = draw_place(dice, subject, bucket)
    if kind == "count" and subject.number == "singular":
        return compose_count(dice, style, subject, place, dice.between(2, 4))
    if kind == "position":
        return compose_position(dice, style, subject, place, dice.choose(POSITIONS))
    return compose_single(dice, style, subject, place)


def _draw(dice: Dice, thing: Thing, centre: tuple[int, int], sizes: tuple[int, int], slack: int) -> Drawn:
    return Drawn(
        thing=thing,
        x=centre[0] + dice.between(-slack, slack),
        y=centre[1] + dice.between(-slack, slack),
        size=dice.between(*sizes),
        angle=5 * dice.between(-3, 3),
        flipped=dice.chance(0.5),
    )
