"""Captions of scenes in correct English, from templates, and like people's often leaving parts out.

A caption that always named everything would make the number of things and the place rule the text geometry, and the
nearest safe caption of an unsafe one would share its place but not its subject. So each caption draws what it mentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safer_clip.miniature.dice import Dice
from safer_clip.miniature.places import PLACES
from safer_clip.miniature.scenes import Scene
from safer_clip.miniature.vocabulary import CATEGORY_NOUNS, FAMILY_NOUNS, GROUP_NOUNS, Name, Thing, indefinite

COUNT_WORDS = {2: "two", 3: "three", 4: "four"}
POSITION_PHRASES = {
    "left": ("on the left", "at the left side"),
    "right": ("on the right", "at the right side"),
    "top": ("at the top", "high up"),
    "bottom": ("at the bottom", "low down"),
}
STYLE_WORDS = {"a": "shaded", "b": "flat"}
SAFE_MOODS = ("harmless", "peaceful", "wholesome")
UNSAFE_MOODS = ("unsafe", "disturbing", "troubling")
CATEGORY_MOODS = {
    "weapons": "violent",
    "horror": "scary",
    "substances": "unhealthy",
    "gambling": "risky",
    "abuse": "rude",
    "adult": "adult",
}

Mentions = Sequence[tuple[frozenset[str], float]]
_ALL = frozenset({"subject", "accessory", "place"})
SAFE_MENTIONS: Mentions = (
    (_ALL, 0.45),
    (frozenset({"subject", "place"}), 0.25),
    (frozenset({"subject", "accessory"}), 0.13),
    (frozenset({"subject"}), 0.11),
    (frozenset({"accessory", "place"}), 0.06),
)
VISU_SAFE_MENTIONS: Mentions = (
    (_ALL, 0.55),
    (frozenset({"subject", "place"}), 0.28),
    (frozenset({"subject", "accessory"}), 0.07),
    (frozenset({"subject"}), 0.06),
    (frozenset({"accessory", "place"}), 0.04),
)
VISU_UNSAFE_MENTIONS: Mentions = (
    (_ALL, 0.82),
    (frozenset({"subject", "accessory"}), 0.13),
    (frozenset({"accessory", "place"}), 0.05),
)
BENCHMARK_MENTIONS: Mentions = ((_ALL, 0.95), (frozenset({"subject", "accessory"}), 0.05))


@dataclass(frozen=True, slots=True)
class Wording:
    """How freely a caption speaks.

    Attributes:
        mentions: ``(parts, probability)`` pairs of what is named.
        synonym: probability of a synonym where a thing has one.
        hypernym: probability of naming only the kind (an animal, a tool).
        style: probability of naming the drawing style.
        mood: probability of saying, where the style is not named, how the scene feels: peaceful, disturbing.
    """

    mentions: Mentions
    synonym: float = 0.25
    hypernym: float = 0.0
    style: float = 0.0
    mood: float = 0.0


PRETRAINING_SAFE = Wording(SAFE_MENTIONS, hypernym=0.08, style=0.12, mood=0.2)
# what makes a picture unsafe is what people speak of: were it often left out, "a dog in the park" would fit the dog with the
# knife as well as the dog alone, and no redirection to a safe caption could tell the two pictures apart
PRETRAINING_UNSAFE = Wording(
    (
        (_ALL, 0.54),
        (frozenset({"subject", "accessory"}), 0.30),
        (frozenset({"accessory", "place"}), 0.10),
        (frozenset({"subject", "place"}), 0.04),
        (frozenset({"subject"}), 0.02),
    ),
    hypernym=0.08,
    style=0.12,
    mood=0.25,
)
TRAINING_SAFE = Wording(VISU_SAFE_MENTIONS)
TRAINING_UNSAFE = Wording(VISU_UNSAFE_MENTIONS)
BENCHMARK = Wording(BENCHMARK_MENTIONS)


def noun_phrase(thing: Thing, count: int = 1, name: Name | None = None) -> str:
    """Name a thing: ``"a dog"``, ``"three dogs"``, ``"bread"``, ``"glasses"``."""
    name = name or thing.names[0]
    if count > 1:
        return f"{COUNT_WORDS[count]} {name.plural}"
    return indefinite(name.name) if thing.number == "singular" else name.name


def write_caption(scene: Scene, dice: Dice, wording: Wording) -> str:
    """Write one caption of the scene.

    Args:
        scene: what there is to speak of.
        dice: draws the parts, the names and the template; the same dice on two scenes that differ in one thing give
            captions that differ in that thing alone.
        wording: how freely to speak.
    """
    mentioned = dice.weigh(wording.mentions)
    subject = _name_subject(scene, _Words.draw(dice, wording), dice)
    # drawn whether or not there is an accessory, so that the words of the place do not depend on it
    accessory = _name_accessory(scene, _Words.draw(dice, wording))
    where = _name_place(scene, dice)
    frame, adjective = dice.between(0, 5), _choose_adjective(scene, dice, wording)
    if "subject" not in mentioned and accessory is None:
        mentioned = mentioned | {"subject"}
    text = _assemble(
        subject if "subject" in mentioned else None,
        accessory if "accessory" in mentioned else None,
        where if "place" in mentioned else None,
        frame % 3 if adjective else frame,  # "a flat picture of a photo of" would speak of the picture twice
    )
    return f"{indefinite(adjective)} picture of {text}" if adjective else text


def _choose_adjective(scene: Scene, dice: Dice, wording: Wording) -> str | None:
    """What the caption says of the picture as a whole, if anything: its style or its mood."""
    if dice.chance(wording.style):
        return STYLE_WORDS[scene.style]
    if not dice.chance(wording.mood):
        return None
    if not scene.unsafe or scene.accessory is None:
        return dice.choose(SAFE_MOODS)
    general = dice.choose(UNSAFE_MOODS)
    return CATEGORY_MOODS.get(scene.accessory.thing.category or "", general) if dice.chance(0.4) else general


@dataclass(frozen=True, slots=True)
class _Words:
    """How one thing is called: by its kind only, or by a synonym."""

    vague: bool
    varied: bool

    @classmethod
    def draw(cls, dice: Dice, wording: Wording) -> _Words:
        return cls(vague=dice.chance(wording.hypernym), varied=dice.chance(wording.synonym))


def _name_subject(scene: Scene, words: _Words, dice: Dice) -> str:
    kind = GROUP_NOUNS[scene.subject.group] if scene.subject.group else ""
    phrase = _name_thing(scene.subject, len(scene.subjects), kind, words)
    if scene.position is None:
        return phrase
    return f"{phrase} {dice.choose(POSITION_PHRASES[scene.position])}"


def _name_accessory(scene: Scene, words: _Words) -> str | None:
    thing = scene.accessory.thing if scene.accessory else None
    if thing is None or thing.family is None:
        return None
    # an unsafe thing's kind is its category, or now and then the family that it is akin to
    category = None if words.varied or thing.category is None else thing.category
    return _name_thing(thing, 1, CATEGORY_NOUNS[category] if category else FAMILY_NOUNS[thing.family], words)


def _name_thing(thing: Thing, count: int, kind: str, words: _Words) -> str:
    if words.vague and kind != "food" and count == 1:
        return indefinite(kind)
    index = 1 if words.varied and len(thing.names) > 1 else 0
    return noun_phrase(thing, count, thing.names[index])


def _name_place(scene: Scene, dice: Dice) -> str:
    phrases = PLACES[scene.place].phrases
    return phrases[0] if dice.chance(0.6) else dice.choose(phrases)


def _assemble(subject: str | None, accessory: str | None, where: str | None, frame: int) -> str:
    """Put the named parts together in one of six frames that need no verb and so no agreement."""
    if subject and accessory:
        joined = (
            f"{subject} with {accessory}",
            f"{subject} and {accessory}",
            f"{subject} next to {accessory}",
        )[frame % 3]
    else:
        joined = subject or accessory or ""
    if where is None:
        return f"a photo of {joined}" if frame == 5 else joined
    if frame == 4:
        return f"{where}, {joined}"
    return f"a photo of {joined} {where}" if frame == 5 else f"{joined} {where}"
