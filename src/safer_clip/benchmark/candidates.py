"""Captions that a benchmark is made of, and the pictures they belong to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LoadBytes = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture of the source with all its captions.

    Attributes:
        id: unique in the source.
        captions: at least one.
        path: of the picture, where it is a file.
        load: gives the picture's encoded bytes; ``None`` where there is no picture.
    """

    id: str
    captions: tuple[str, ...]
    path: Path | None = None
    load: LoadBytes | None = None


@dataclass(frozen=True, slots=True)
class CaptionedSet:
    """A source as it was read.

    Attributes:
        name: for people.
        items: its pictures, in the source's order.
        fingerprint: of ids, captions and picture files.
    """

    name: str
    items: tuple[Captioned, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A caption that passed the source's checks.

    Attributes:
        id: that of its picture.
        caption: the safe caption.
        image: path of its picture, or ``None`` where the source holds it otherwise, or has none.
    """

    id: str
    caption: str
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a picture's caption is not in the benchmark.

    Attributes:
        id: of the picture.
        stage: ``"source"``, ``"rewriting"``, ``"filters"``, ``"review"`` or ``"selection"``.
        reasons: at least one; statistics count the first.
    """

    id: str
    stage: str
    reasons: tuple[str, ...]


def name_file(key: str) -> str:
    """A file name, without its suffix, for an id: the id itself where it can be one, else made so and told apart."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", key)[:80]
    if plain == key:
        return plain
    return f"{plain}-{hashlib.blake2b(key.encode(), digest_size=4).hexdigest()}"
