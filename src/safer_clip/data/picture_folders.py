"""A folder of pictures, for what is done to each of them: judging, captioning."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safer_clip.data.classification import PICTURE_SUFFIXES, LazyPictures, open_picture
from safer_clip.data.pictures import Picture, check_pictures
from safer_clip.data.problems import Kind, ProblemLog


@dataclass(frozen=True)
class PictureFolder:
    """All pictures of a folder and its subfolders, in the order of their paths.

    Attributes:
        paths: of the files.
        names: paths from the folder on, with slashes.
        digests: of the files' bytes.
    """

    paths: Sequence[Path]
    names: Sequence[str]
    digests: Sequence[str]

    @property
    def pictures(self) -> LazyPictures:
        """The pictures, RGB; opened when they are looked at."""
        return LazyPictures([partial(open_picture, path) for path in self.paths])


def read_picture_folder(folder: Path) -> PictureFolder:
    """Find the pictures of a folder, and decode each once, so that a damaged one does not stop a long run half-way.

    Raises:
        DataError: there is no such folder, it has no picture, or some are damaged; names all of those.
    """
    log = ProblemLog(folder)
    if not folder.is_dir():
        log.fail(Kind.FILE_NOT_FOUND, "there is no such folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        log.fail(Kind.EMPTY_FILE, f"holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    for kind, message in check_pictures([Picture(path=path) for path in paths], "decode").values():
        log.error(kind, message)
    log.raise_if_errors()
    names = [path.relative_to(folder).as_posix() for path in paths]
    return PictureFolder(paths, names, [_digest(path) for path in paths])


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
