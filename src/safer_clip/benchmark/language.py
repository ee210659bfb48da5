"""Whether a caption is long enough and in the wanted language, told from its script and function words.

Captions are too short for statistics of letters, so this only finds what is plainly of another language: letters of
another script, or more function words of another known language than of the wanted one. A caption without any function
word passes. Function words of six languages are known; in any other language only the script is looked at.
"""

from __future__ import annotations

import unicodedata

from safer_clip.benchmark.measures import split_words

FUNCTION_WORDS = {
    "en": "the a an of and is are with on in at to his her their its that this by for from near while next some two",
    "de": "der die das ein eine einen einem einer und ist sind mit auf im am von zu für bei neben während nicht dem den",
    "fr": "le la les un une des et est sont avec sur dans au aux du de pour par près pendant qui que à",
    "es": "el la los las un una unos unas y es son con en del de al por para cerca mientras que se su",
    "it": "il lo la i gli le un uno una e è sono con su sul nel nella del della di al per vicino mentre che",
    "pt": "o a os as um uma uns umas e é são com em no na do da de ao para por perto enquanto que se",
}
SCRIPTS = {
    **dict.fromkeys(("ru", "uk", "bg", "sr", "mk"), ("CYRILLIC",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("ARABIC",)),
    "zh": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL", "CJK"),
    "el": ("GREEK",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "th": ("THAI",),
}
UNSPACED = {"zh", "ja", "th"}
FOREIGN_SHARE = 0.3
_WORDS = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}


def count_words(text: str, language: str) -> int:
    """The words of a text; in languages written without spaces, its letters by two."""
    if language in UNSPACED:
        return (sum(letter.isalpha() for letter in text) + 1) // 2
    return len(split_words(text))


def is_language(text: str, language: str) -> bool:
    """Whether a text may be of the language: nothing speaks against it."""
    letters = [letter for letter in text if letter.isalpha()]
    scripts = SCRIPTS.get(language, ("LATIN",))
    foreign = sum(not unicodedata.name(letter, "").startswith(scripts) for letter in letters)
    if not letters or foreign > FOREIGN_SHARE * len(letters):
        return False
    if language not in _WORDS:
        return True
    words = split_words(text)
    counts = {name: sum(word in known for word in words) for name, known in _WORDS.items()}
    return counts[language] >= max(counts.values())
