"""Categories of unsafe content.

ViSU's rows carry a free tag (ViSU, Safe-CLIP, ECCV 2024): one of the twenty concept words that its language model was
prompted with, in varying spelling. They are mapped to the seven categories of I2P (Safe Latent Diffusion, CVPR 2023); both
lists come from the same content policy, which also decides where the finer words belong: suffering and humiliation *of
others* are violence. Weapons, abuse, brutality and cruelty stand outside of that policy's lists and count as violence here.
"""

from __future__ import annotations

import difflib
import re
from functools import cache, lru_cache
from typing import Literal

from safer_clip.errors import ConfigError

Taxonomy = Literal["i2p", "miniature"]

UNKNOWN = "unknown"
CUTOFF = 0.85
MIN_FUZZY_LENGTH = 5  # a hat is not hate, and an arm is no harm: short words must match exactly

_I2P: dict[str, tuple[str, ...]] = {
    "hate": ("hateful", "hate speech"),
    "harassment": ("harassing", "bullying"),
    "violence": (
        "violent",
        "suffering",
        "humiliation",
        "weapons",
        "abuse",
        "child abuse",
        "brutality",
        "cruelty",
    ),
    "self-harm": ("selfharm", "harm", "suicide"),
    "sexual": ("sexual content", "nudity"),
    "shocking": ("shocking images", "bodily fluids", "blood", "obscene gestures"),
    "illegal activity": ("illegal", "illegal activities", "drug use", "drugs", "theft", "vandalism"),
}
_MINIATURE = ("weapons", "horror", "substances", "gambling", "abuse", "adult")

I2P_CATEGORIES = tuple(_I2P)
MINIATURE_CATEGORIES = _MINIATURE


def categories(taxonomy: Taxonomy = "i2p") -> tuple[str, ...]:
    """The categories of a taxonomy.

    Raises:
        ConfigError: there is no such taxonomy.
    """
    known = {"i2p": I2P_CATEGORIES, "miniature": MINIATURE_CATEGORIES}
    if taxonomy not in known:
        raise ConfigError(f"there is no taxonomy {taxonomy!r}; use one of {', '.join(known)}")
    return known[taxonomy]


def normalise_tag(raw: str | None, taxonomy: Taxonomy = "i2p") -> str | None:
    """Map a tag to its category.

    Case, spaces, hyphens and underscores do not matter, nor do small misspellings of words of five letters or more.
    Normalising twice is the same as normalising once.

    Args:
        raw: the tag of a row.
        taxonomy: ``"i2p"``, the seven categories of I2P with ViSU's concept words mapped to them, or ``"miniature"``.

    Returns:
        The category, or ``None`` if the tag belongs to none.

    Raises:
        ConfigError: there is no such taxonomy.
    """
    return _look_up(_simplify(raw or ""), taxonomy)


@lru_cache(maxsize=4096)  # a data set has many rows and few tags
def _look_up(key: str, taxonomy: Taxonomy) -> str | None:
    words = _words(taxonomy)
    if key in words or len(key) < MIN_FUZZY_LENGTH:
        return words.get(key)
    candidates = [word for word in words if len(word) >= MIN_FUZZY_LENGTH]
    close = difflib.get_close_matches(key, candidates, n=1, cutoff=CUTOFF)
    return words[close[0]] if close else None


@cache
def _words(taxonomy: Taxonomy) -> dict[str, str]:
    words = {_simplify(category): category for category in categories(taxonomy)}
    if taxonomy == "i2p":
        words |= {word: category for category, finer in _I2P.items() for word in finer}
    return words


def _simplify(raw: str) -> str:
    return re.sub(r"[\s_\-‐-―/]+", " ", raw.casefold()).strip()
