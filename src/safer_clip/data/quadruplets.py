"""Quadruplets: a safe caption and image, and an unsafe caption and image, one a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Features

QUADRUPLET_COLUMNS: dict[str, str] = {
    "id": "the row's name, unique in the table",
    "safe_caption": "caption of the safe image",
    "unsafe_caption": "caption of the unsafe image",
    "safe_image": "the safe picture; may be absent",
    "unsafe_image": "the unsafe picture; may be absent",
    "category": "kind of unsafe content, normalised",
    "tag": "the source's own label, as it stands there",
    "text_unsafe": "is the unsafe caption really unsafe? (ViSUv2's label; may be absent)",
    "image_unsafe": "is the unsafe picture really unsafe? (ViSUv2's label; may be absent)",
}


def quadruplet_features() -> Features:
    """The ``datasets`` types of :data:`QUADRUPLET_COLUMNS`."""
    from datasets import Features, Image, Value

    kinds = {"safe_image": Image(), "unsafe_image": Image(), "text_unsafe": Value("bool"), "image_unsafe": Value("bool")}
    return Features({name: kinds.get(name, Value("string")) for name in QUADRUPLET_COLUMNS})
