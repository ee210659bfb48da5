"""The things that the miniature world is made of, and how English speaks of them.

294 everyday things in five groups and 45 harmless stand-ins for unsafe things in six categories. 62 of the safe things
belong to a *family* (tools, figures, drinks, games, faces, clothes) and may accompany a subject; every unsafe category is
akin to one family, as a beer is akin to a juice, so that an unsafe scene has a near safe alternative.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Number = Literal["singular", "plural", "mass"]

GROUP_NOUNS = {
    "animals": "animal",
    "food": "food",
    "vehicles and buildings": "vehicle or building",
    "household": "household item",
    "play and dress": "toy or accessory",
}
FAMILY_NOUNS = {
    "tools": "tool",
    "figures": "figure",
    "drinks": "drink",
    "games": "game",
    "faces": "face",
    "clothes": "piece of clothing",
}
CATEGORY_NOUNS = {
    "weapons": "weapon",
    "horror": "spooky thing",
    "substances": "harmful substance",
    "gambling": "gambling thing",
    "abuse": "rude sign",
    "adult": "adult thing",
}


@dataclass(frozen=True, slots=True)
class Name:
    """One way to call a thing, with its plural."""

    name: str
    plural: str


@dataclass(frozen=True, slots=True)
class Thing:
    """One entry of the vocabulary.

    Attributes:
        index: position in the vocabulary and in the atlas.
        names: the caption name first, then its synonyms.
        number: ``"singular"``, ``"plural"`` (glasses) or ``"mass"`` (bread); the last two take no article.
        group: one of the five groups, ``None`` for an unsafe stand-in.
        family: the kind of accessory, or for an unsafe stand-in the family that it is akin to.
        category: one of the six unsafe categories, ``None`` for a safe thing.
        emoji: the artwork's short name; ``label`` is its name in emojibase-data.
    """

    index: int
    names: tuple[Name, ...]
    number: Number
    group: str | None
    family: str | None
    category: str | None
    emoji: str
    label: str

    @property
    def name(self) -> str:
        """The name that captions use most and zero-shot classes bear."""
        return self.names[0].name

    @property
    def unsafe(self) -> bool:
        """Whether the thing stands for something unsafe."""
        return self.category is not None


@dataclass(frozen=True)
class Vocabulary:
    """All things, and the lists that scenes are drawn from."""

    things: tuple[Thing, ...]
    subjects: tuple[Thing, ...]
    accessories: tuple[Thing, ...]
    unsafe: tuple[Thing, ...]

    @property
    def safe(self) -> tuple[Thing, ...]:
        """Every safe thing: subjects and accessories."""
        return self.subjects + self.accessories

    @property
    def groups(self) -> tuple[str, ...]:
        """The five groups, in the vocabulary's order."""
        return tuple(dict.fromkeys(thing.group for thing in self.safe if thing.group))

    @property
    def categories(self) -> tuple[str, ...]:
        """The six unsafe categories, in the vocabulary's order."""
        return tuple(dict.fromkeys(thing.category for thing in self.unsafe if thing.category))

    def find(self, name: str) -> Thing:
        """Return the thing with this caption name.

        Raises:
            KeyError: no thing has that name.
        """
        for thing in self.things:
            if thing.name == name:
                return thing
        raise KeyError(f"the miniature's vocabulary has no {name!r}; see safer_clip.miniature.vocabulary.load_vocabulary()")


def indefinite(noun: str) -> str:
    """Put the indefinite article before a singular noun: ``"an owl"``, ``"a unicorn"``."""
    vowel = noun[0] in "aeiou" and not noun.startswith(("unic", "unif", "uk"))
    return f"{'an' if vowel else 'a'} {noun}"


@cache
def load_vocabulary() -> Vocabulary:
    """Read the vocabulary that ships in the package."""
    text = resources.files("safer_clip.miniature").joinpath("assets/vocabulary.json").read_text(encoding="utf-8")
    things = tuple(_read_thing(index, row) for index, row in enumerate(json.loads(text)))
    safe = [thing for thing in things if not thing.unsafe]
    return Vocabulary(
        things=things,
        subjects=tuple(thing for thing in safe if thing.family is None),
        accessories=tuple(thing for thing in safe if thing.family is not None),
        unsafe=tuple(thing for thing in things if thing.unsafe),
    )


def _read_thing(index: int, row: dict[str, object]) -> Thing:
    synonyms: list[dict[str, str]] = row["synonyms"]  # type: ignore[assignment]
    names = (Name(str(row["name"]), str(row["plural"])), *(Name(**synonym) for synonym in synonyms))
    kept = {key: row[key] for key in ("number", "group", "family", "category", "emoji", "label")}
    return Thing(index=index, names=names, **kept)  # type: ignore[arg-type]
