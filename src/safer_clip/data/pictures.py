"""Pictures of an input: where they are, and whether they can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

from safer_clip.data.problems import Kind

ImageCheck = Literal["decode", "header", "exists"]
Flaw = tuple[Kind, str]

COMMON_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""What a picture is looked for under where its name is known but for the ending."""

_THREADS = 8


@dataclass(frozen=True)
class Picture:
    """A picture as an input names or holds it: an absolute path, or else the encoded bytes."""

    path: Path | None = None
    data: bytes | None = None

    @cached_property
    def key(self) -> str:
        """Equal for equal pictures: the path, or a digest of the bytes."""
        if self.data is not None:
            return hashlib.blake2b(self.data, digest_size=16).hexdigest()
        return str(self.path)

    def as_struct(self) -> dict[str, object]:
        """The storage of ``datasets.Image``: ``{"bytes", "path"}``; files stay where they are."""
        return {"bytes": self.data, "path": None if self.path is None else str(self.path)}


def parse_picture(value: object, root: Path) -> Picture | None:
    """Understand a cell of an image column.

    Args:
        value: a path under ``root``, encoded bytes, or a ``datasets`` struct ``{"bytes", "path"}``; empty is no picture.
        root: the folder that relative paths start from.

    Raises:
        TypeError: the value is something else.
    """
    match value:
        case None:
            return None
        case str():
            return Picture(path=(root / value.strip()).absolute()) if value.strip() else None
        case bytes():
            return Picture(data=value)
        case Path():
            return Picture(path=(root / value).absolute())
        case {"bytes": bytes() as data}:  # the path is but a name then, and may be that of another file here
            return Picture(data=data)
        case {"path": path, **rest} if rest.get("bytes") is None and isinstance(path, str | None):
            return parse_picture(path, root)
    raise TypeError(f"expected a path, got {type(value).__name__}")


def check_pictures(pictures: Iterable[Picture], check: ImageCheck) -> Mapping[str, Flaw]:
    """Check each different picture once, in a pool of threads.

    Args:
        pictures: the pictures.
        check: ``"exists"`` looks for the files only; ``"header"`` also reads format and size, which is quick;
            ``"decode"`` reads all pixels, and alone finds pictures that break off half-way.

    Returns:
        What is wrong, by the key of the picture; sound pictures are left out.
    """
    unique = {picture.key: picture for picture in pictures}
    with ThreadPoolExecutor(_THREADS) as pool:
        flaws = pool.map(partial(_find_flaw, check=check), unique.values())
        return {key: flaw for key, flaw in zip(unique, flaws, strict=True) if flaw}


def _find_flaw(picture: Picture, check: ImageCheck) -> Flaw | None:
    try:
        if picture.path is not None and not picture.path.is_file():
            return Kind.MISSING_IMAGE, f"no such file: {picture.path}"
        if check != "exists":
            _open(picture, check)
    # Pillow's plugins fail in many ways on broken bytes, SyntaxError and struct.error among them
    except Exception as error:
        return Kind.UNREADABLE_IMAGE, f"cannot be read: {picture.path or 'embedded picture'} ({error})"
    return None


def _open(picture: Picture, check: ImageCheck) -> None:
    with Image.open(str(picture.path) if picture.data is None else BytesIO(picture.data)) as image:
        if check == "decode":
            image.load()
