"""Quadruplets in WebDataset shards.

A shard is a tar file; what belongs to a row shares the name up to the first dot: ``000007.json`` with ``safe_caption``,
``unsafe_caption`` and any other column, ``000007.safe.jpg`` and ``000007.unsafe.jpg`` (or ``.png``, ``.webp``). Pictures may
be absent.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from uuid import uuid4

from safer_clip.data.loading import RawRow, RawTable
from safer_clip.data.pictures import COMMON_SUFFIXES
from safer_clip.data.problems import Kind, ProblemLog

_SIDES = {"safe": "safe_image", "unsafe": "unsafe_image"}


def find_shards(path: Path) -> list[Path]:
    """The shards of a folder, or the one that a path names, in order."""
    return sorted(path.glob("*.tar")) if path.is_dir() else [path] if path.suffix == ".tar" else []


def load_shards(shards: Sequence[Path], log: ProblemLog) -> RawTable:
    """Take shards apart; pictures are unpacked into the cache of ``datasets``, once for each version of the shards.

    Rows are numbered through all shards, from 1, and named ``shard/key`` unless they have an ``id``.

    Raises:
        DataError: a shard is damaged, or there are no rows.
    """
    folder = _unpack(shards, log)
    table = RawTable()
    for shard in shards:
        for file in sorted((folder / shard.stem).glob("*.json")):
            _add_row(file, shard.stem, table, log)
    if not table.total:
        log.fail(Kind.EMPTY_FILE, "has no rows: no member of a shard ends in .json")
    table.columns = list(dict.fromkeys(name for row in table.rows for name in row.values))
    return table


def _add_row(file: Path, shard: str, table: RawTable, log: ProblemLog) -> None:
    number = table.total + 1
    try:
        told = json.loads(file.read_bytes())
        if not isinstance(told, dict):
            raise ValueError(f"expected an object with named fields, got {type(told).__name__}")
    except ValueError as error:
        table.total += 1
        log.error(Kind.BROKEN_ROW, f"{shard}.tar/{file.name} is not usable: {error}", row=number)
        return
    key = file.name.split(".", 1)[0]
    pictures = {column: _find_picture(file.parent, key, side) for side, column in _SIDES.items()}
    table.add(RawRow(number, {"id": f"{shard}/{key}", **told, **pictures}))


def _find_picture(folder: Path, key: str, side: str) -> str | None:
    names = (folder / f"{key}.{side}{suffix}" for suffix in COMMON_SUFFIXES)
    return next((str(path) for path in names if path.is_file()), None)


def _unpack(shards: Sequence[Path], log: ProblemLog) -> Path:
    from datasets import config

    digest = hashlib.blake2b(digest_size=12)
    for shard in shards:
        found = shard.stat()
        digest.update(f"{shard.resolve()}:{found.st_size}:{found.st_mtime_ns}\n".encode())
    target = Path(config.HF_DATASETS_CACHE) / "safer_clip_shards" / digest.hexdigest()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        for shard in shards:
            _unpack_one(shard, draft / shard.stem, log)
        log.raise_if_errors()
        if not target.exists():  # another process may have been faster
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _unpack_one(shard: Path, folder: Path, log: ProblemLog) -> None:
    folder.mkdir(parents=True)
    try:
        with tarfile.open(shard) as archive:
            for name, content in _read_members(archive):
                (folder / name).write_bytes(content)
    except (tarfile.TarError, OSError, EOFError) as error:
        log.error(Kind.BROKEN_FILE, f"{shard} is no whole tar file: {error}")


def _read_members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Files of a shard under their bare names: a path in a tar file is never followed."""
    for member in archive:
        content = archive.extractfile(member) if member.isfile() else None
        if content is not None:
            yield PurePosixPath(member.name).name, content.read()
