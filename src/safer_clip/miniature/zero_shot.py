"""The miniature's zero-shot classification sets, all on combinations that were never trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from safer_clip.miniature.captions import COUNT_WORDS, POSITION_PHRASES, STYLE_WORDS, noun_phrase
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.places import PLACES
from safer_clip.miniature.scenes import (
    POSITIONS,
    STYLES,
    Scene,
    Style,
    compose_count,
    compose_pair,
    compose_position,
    compose_single,
    draw_accessory,
    draw_any_place,
    draw_place,
    draw_subject,
)
from safer_clip.miniature.vocabulary import GROUP_NOUNS, Thing, indefinite, load_vocabulary

OBJECT_TEMPLATES = ("{}", "a photo of {}", *(f"{{}} {place.phrases[0]}" for place in PLACES))


@dataclass(frozen=True, slots=True)
class ZeroShotSet:
    """One classification set.

    Attributes:
        name: key in results.
        scenes: the pictures, as scenes.
        labels: index of each scene's class.
        classes: class names.
        prompts: for each class the ensemble of prompts.
    """

    name: str
    scenes: tuple[Scene, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]


def _fill(templates: Sequence[str], phrases: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(template.format(phrase) for template in templates) for phrase in phrases)


def _single(dice: Dice, style: Style, thing: Thing) -> Scene:
    return compose_single(dice, style, thing, draw_place(dice, thing, "test"))


def _build_objects(name: str, things: Sequence[Thing], styles: Sequence[Style], size: int) -> ZeroShotSet:
    """Which thing is it? Every thing is asked equally often."""
    labels = tuple(i % len(things) for i in range(size))
    scenes = tuple(
        _single(Dice(name, i), styles[i // len(things) % len(styles)], things[label]) for i, label in enumerate(labels)
    )
    names = tuple(thing.name for thing in things)
    return ZeroShotSet(name, scenes, labels, names, _fill(OBJECT_TEMPLATES, [noun_phrase(t) for t in things]))


def _build_attribute(
    name: str,
    classes: Sequence[str],
    prompts: tuple[tuple[str, ...], ...],
    draw: Callable[[Dice, int], Scene],
) -> ZeroShotSet:
    """A property other than the thing, over random things."""
    size = 600
    labels = tuple(i % len(classes) for i in range(size))
    scenes = tuple(draw(Dice(name, i), label) for i, label in enumerate(labels))
    return ZeroShotSet(name, scenes, labels, tuple(classes), prompts)


def _draw_countable(dice: Dice) -> Thing:
    while True:
        thing = draw_subject(dice)
        if thing.number == "singular":
            return thing


def _groups() -> ZeroShotSet:
    vocabulary = load_vocabulary()
    members = [[thing for thing in vocabulary.safe if thing.group == group] for group in vocabulary.groups]
    names = [[noun_phrase(thing) for thing in group] for group in members]
    prompts = tuple(
        (*(indefinite(GROUP_NOUNS[group]) if group != "food" else "food",), *phrases)
        for group, phrases in zip(vocabulary.groups, names, strict=True)
    )
    return _build_attribute(
        "groups",
        vocabulary.groups,
        prompts,
        lambda dice, label: _single(dice, dice.choose(STYLES), dice.choose(members[label])),
    )


def _places() -> ZeroShotSet:
    prompts = tuple((*place.phrases, *(f"a photo {phrase}" for phrase in place.phrases)) for place in PLACES)

    def draw(dice: Dice, label: int) -> Scene:
        subject = draw_subject(dice)
        return compose_single(dice, dice.choose(STYLES), subject, label)

    return _build_attribute("places", [place.name for place in PLACES], prompts, draw)


def _counts() -> ZeroShotSet:
    things = load_vocabulary().subjects[::6]
    singular = [thing for thing in things if thing.number == "singular"]
    prompts = (
        tuple(noun_phrase(thing) for thing in singular),
        *(tuple(noun_phrase(thing, count) for thing in singular) for count in COUNT_WORDS),
    )

    def draw(dice: Dice, label: int) -> Scene:
        thing, style = _draw_countable(dice), dice.choose(STYLES)
        place = draw_place(dice, thing, "test")
        if label == 0:
            return compose_single(dice, style, thing, place)
        return compose_count(dice, style, thing, place, label + 1)

    return _build_attribute("counts", ("one", *COUNT_WORDS.values()), prompts, draw)


def _positions() -> ZeroShotSet:
    things = load_vocabulary().subjects[::6]
    prompts = tuple(
        tuple(f"{noun_phrase(thing)} {phrase}" for thing in things for phrase in POSITION_PHRASES[position])
        for position in POSITIONS
    )

    def draw(dice: Dice, label: int) -> Scene:
        thing = draw_subject(dice)
        place = draw_place(dice, thing, "test")
        return compose_position(dice, dice.choose(STYLES), thing, place, POSITIONS[label])

    return _build_attribute("positions", POSITIONS, prompts, draw)


def _styles() -> ZeroShotSet:
    things = load_vocabulary().subjects[::6]
    prompts = tuple(tuple(f"a {STYLE_WORDS[style]} picture of {noun_phrase(thing)}" for thing in things) for style in STYLES)
    return _build_attribute(
        "styles",
        tuple(STYLE_WORDS.values()),
        prompts,
        lambda dice, label: _single(dice, STYLES[label], draw_subject(dice)),
    )


def _accessories() -> ZeroShotSet:
    """What does the subject have with it? Safe accessories only."""
    things = load_vocabulary().accessories
    templates = [f"{noun_phrase(subject)} with {{}}" for subject in load_vocabulary().subjects[::16]]
    prompts = _fill(templates, [noun_phrase(thing) for thing in things])

    def draw(dice: Dice, label: int) -> Scene:
        while True:
            subject = dice.choose(load_vocabulary().subjects)
            if draw_accessory(dice, subject, "test", [things[label]]) is not None:
                return compose_pair(dice, dice.choose(STYLES), subject, draw_any_place(dice), things[label])

    return _build_attribute("accessories", [thing.name for thing in things], prompts, draw)


def load_zero_shot() -> tuple[ZeroShotSet, ...]:
    """All thirteen sets: five groups of things, the whole vocabulary in each style, and six properties."""
    vocabulary = load_vocabulary()
    by_group = [
        _build_objects(group.replace(" ", "_"), [thing for thing in vocabulary.safe if thing.group == group], STYLES, 600)
        for group in vocabulary.groups
    ]
    whole = [_build_objects(f"vocabulary_{style}", vocabulary.safe, (style,), 2 * len(vocabulary.safe)) for style in STYLES]
    return (*by_group, *whole, _groups(), _places(), _counts(), _positions(), _styles(), _accessories())
