"""Captions that must not be rewritten: those that mention minors, or real persons by name.

Both are found by word lists and rules, not by a model, so that it can be read what is refused. The lists are the files of
the package's folder ``words``; a folder of one's own may replace any of them by its name.

What the rules do not see: minors who are not called so ("a pupil"), nicknames, a given name or a surname alone unless it
is in ``persons.txt``, a name at the start of a caption whose given name is not in ``given_names.txt``, names after a
preposition of place likewise, and names in scripts without capitals. In return they refuse some harmless captions, such as
those of women called girls. Where pictures of people matter, look at the pictures too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Literal

from safer_clip.errors import ConfigError

Refusal = Literal["mentions a minor", "names a person"]
FILES = (
    "minors",
    "not_minors",
    "honorifics",
    "persons",
    "not_persons",
    "given_names",
    "places",
    "title_words",
)
LINED = {"minors", "not_minors", "not_persons"}  # phrases: one a line
CAPITALISED_NOUNS = {"de", "lb"}
PREPOSITIONS = frozenset(
    [
        "in",
        "at",
        "near",
        "from",
        "to",
        "through",
        "over",
        "around",
        "outside",
        "across",
        "towards",
        "toward",
        "into",
        "via",
        "on",
        "along",
        "behind",
        "by",
    ]
)
TITLE_CASE = 0.7  # a caption with so many capitalised words is a title, in which capitals tell nothing

_NUMBERS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
]
_NUMBER = rf"(?:1[0-7]|[0-9]|{'|'.join(_NUMBERS)})"
_YEARS, _LESS = r"(?:years?|yrs?|y)[\s.-]*olds?", r"(?:months?|weeks?|days?)[\s-]*old"
_AGES = re.compile(rf"\b(?:{_NUMBER}[\s-]*{_YEARS}|\w+[\s-]*{_LESS}|age[ds]?\s+{_NUMBER})\b", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W\d_](?:\.(?=\s|[^\W\d_]|$)|[\w'’-]*)")


@dataclass(frozen=True)
class WordLists:
    """The lists that refusals go by, as their files hold them.

    Attributes:
        minors: a pattern of words for minors.
        not_minors: a pattern of phrases that hold such a word and mean no person.
        not_persons: a pattern of phrases that look like a name.
        honorifics: casefolded.
        persons: known by one word.
        given_names: as they are written.
        places: words of places, makes and the like.
        strong_places: words after which even a given name makes a place.
        title_words: capitalised only because they start a caption.
    """

    minors: re.Pattern[str]
    not_minors: re.Pattern[str]
    not_persons: re.Pattern[str]
    honorifics: frozenset[str]
    persons: frozenset[str]
    given_names: frozenset[str]
    places: frozenset[str]
    strong_places: frozenset[str]
    title_words: frozenset[str]


def load_words(folder: Path | None = None) -> WordLists:
    """Read the word lists.

    Args:
        folder: holds ``.txt`` files that win over the package's of the same name.

    Raises:
        ConfigError: the folder is none, holds no list or one of another name.
    """
    own = _find_own(folder)
    texts = {name: _read(name, own) for name in FILES}
    _, _, strong = texts["places"].partition("\n# strong\n")
    words = {name: frozenset(_split(text, name in LINED)) for name, text in texts.items()}
    return WordLists(
        minors=_compile(words["minors"]),
        not_minors=_compile(words["not_minors"]),
        not_persons=_compile(words["not_persons"]),
        honorifics=frozenset(word.casefold() for word in words["honorifics"]),
        persons=words["persons"],
        given_names=words["given_names"],
        places=words["places"],
        strong_places=frozenset(_split(strong, False)),
        title_words=words["title_words"],
    )


def find_refusals(caption: str, words: WordLists, language: str = "en") -> tuple[Refusal, ...]:
    """Why a caption must not be rewritten; empty if it may be."""
    found: list[Refusal] = []
    if mentions_minor(caption, words):
        found.append("mentions a minor")
    if names_person(caption, words, language):
        found.append("names a person")
    return tuple(found)


def mentions_minor(caption: str, words: WordLists) -> bool:
    """Whether a caption speaks of a minor, or gives an age under 18."""
    plain = words.not_minors.sub(" ", caption.replace("’", "'"))
    return bool(words.minors.search(plain) or _AGES.search(plain))


def names_person(caption: str, words: WordLists, language: str = "en") -> bool:
    """Whether a caption names a person: a given name with another name, a title with a name, or a known single name.

    A run of capitalised words without a given name counts too, unless it holds a word of places and makes, follows a
    preposition of place, or the caption is written like a title or in a language that capitalises its nouns.
    """
    plain = words.not_persons.sub(" , ", caption)
    tokens = list(_TOKEN.finditer(plain))
    telling = language not in CAPITALISED_NOUNS and not _is_title(plain)
    if any(token.group().removesuffix("'s").removesuffix("’s") in words.persons for token in tokens):
        return True
    if any(_is_titled(left, right, plain, words) for left, right in pairwise(tokens)):
        return True
    return any(_is_name(run, before, words, telling) for run, before in _find_runs(plain, tokens, words))


def _is_name(run: list[str], before: str | None, words: WordLists, telling: bool) -> bool:
    given = any(left in words.given_names and right not in words.strong_places for left, right in pairwise(run))
    if given and words.strong_places.isdisjoint(run):
        return True
    return telling and len(run) > 1 and words.places.isdisjoint(run) and before not in PREPOSITIONS


def _find_runs(text: str, tokens: list[re.Match[str]], words: WordLists) -> Iterator[tuple[list[str], str | None]]:
    """Runs of capitalised words with nothing but a space between them, and the word before each, casefolded.

    The word that starts a sentence is part of a run only if it is a given name, since all words are capitalised there.
    """
    run: list[str] = []
    before: str | None = None
    previous: str | None = None
    end = 0
    for token in tokens:
        word, between = token.group(), text[end : token.start()]
        starts = not end or any(mark in between for mark in ".!?;:\n")
        counts = _is_capitalised(word) and not (starts and (word in words.title_words or word not in words.given_names))
        if run and (not counts or between.strip(" ")):
            yield run, before
            run = []
        if counts:
            before = before if run else (None if starts else previous)
            run.append(word.removesuffix("'s").removesuffix("’s"))
        previous, end = word.casefold(), token.end()
    if run:
        yield run, before


def _is_titled(left: re.Match[str], right: re.Match[str], text: str, words: WordLists) -> bool:
    if left.group().rstrip(".").casefold() not in words.honorifics or text[left.end() : right.start()].strip(" ."):
        return False
    return _is_capitalised(right.group()) and right.group() not in words.places


def _is_capitalised(word: str) -> bool:
    """``Anna``, ``McDonald``, ``J.``; not ``USA``."""
    initial = len(word) == 2 and word.endswith(".")
    return word[0].isupper() and (initial or any(letter.islower() for letter in word[1:]))


def _is_title(text: str) -> bool:
    found: list[str] = re.findall(r"[^\W\d_]{3,}", text)
    return len(found) >= 4 and sum(word[0].isupper() for word in found) >= TITLE_CASE * len(found)


def _compile(phrases: frozenset[str]) -> re.Pattern[str]:
    parts = [re.escape(phrase).replace(r"\*", r"\w*").replace(r"\ ", r"[\s-]+") for phrase in sorted(phrases, key=len)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(reversed(parts))})(?!\w)", re.IGNORECASE)


def _split(text: str, lined: bool) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return lines if lined else " ".join(lines).split()


def _read(name: str, own: dict[str, Path]) -> str:
    if name in own:
        return own[name].read_text(encoding="utf-8")
    return resources.files("safer_clip.benchmark").joinpath(f"words/{name}.txt").read_text(encoding="utf-8")


def _find_own(folder: Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    found = {path.stem: path for path in sorted(folder.glob("*.txt"))} if folder.is_dir() else {}
    unknown = sorted(set(found) - set(FILES))
    if unknown or not found:
        told = f"it holds {', '.join(unknown)}" if unknown else "it holds no list"
        raise ConfigError(f"{folder} cannot give word lists: {told}; there are {', '.join(f'{name}.txt' for name in FILES)}")
    return found
