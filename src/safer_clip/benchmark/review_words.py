"""Which words of two captions differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

# Marks of punctuation are words of their own, and so is each character of scripts that set no spaces between words.
_PUNCTUATION = r"""[.,;:!?"“”«»()\[\]…、。，！？]"""
_UNSPACED = r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
_WORD = re.compile(rf"{_PUNCTUATION}|{_UNSPACED}|(?:(?!{_PUNCTUATION}|{_UNSPACED})\S)+")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a caption that the other caption has too, or has not (``edited``)."""

    text: str
    edited: bool


def mark_edits(left: str, right: str) -> tuple[list[Part], list[Part]]:
    """Take two captions apart where they differ, word by word; upper and lower case differ.

    Returns:
        The parts of each; joined they give the caption back. Blanks between two edited words are edited too.
    """
    words = [list(_WORD.finditer(caption)) for caption in (left, right)]
    texts = [[word.group() for word in side] for side in words]
    kept: tuple[set[int], set[int]] = (set(), set())
    for block in SequenceMatcher(None, texts[0], texts[1], autojunk=False).get_matching_blocks():
        kept[0].update(range(block.a, block.a + block.size))
        kept[1].update(range(block.b, block.b + block.size))
    return _split(left, words[0], kept[0]), _split(right, words[1], kept[1])


def _split(caption: str, words: Sequence[re.Match[str]], kept: set[int]) -> list[Part]:
    edited = [False] * len(caption)
    for index, word in enumerate(words):
        if index not in kept:
            follows = index > 0 and index - 1 not in kept
            start = words[index - 1].end() if follows else word.start()
            edited[start : word.end()] = [True] * (word.end() - start)
    parts: list[Part] = []
    start = 0
    for place in range(1, len(caption) + 1):
        if place == len(caption) or edited[place] != edited[start]:
            parts.append(Part(caption[start:place], edited[start]))
            start = place
    return parts
