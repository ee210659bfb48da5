"""A benchmark in the layouts that others read, each with checksums, and written only if the pictures are all there.

- ``datasets``: a folder for ``datasets.load_from_disk``, pictures inside.
- ``jsonl``: ``quadruplets.jsonl`` and the pictures beside it.
- ``parquet``: one file, pictures inside, as the hub shows them.
- ``webdataset``: tar shards ``<name>-000000.tar`` with ``<key>.json``, ``<key>.safe.*`` and ``<key>.unsafe.*``.

Of the benchmark's folder only the rows, their pictures and the datasheet go along: no journal, no reviewer's name, no
setting that holds a local path.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safer_clip.benchmark.datasheet import DATASHEET_FILE
from safer_clip.benchmark.finishing import QUADRUPLETS_FILE
from safer_clip.benchmark.workplace import read_manifest
from safer_clip.errors import ConfigError
from safer_clip.files import prepare_output, write_bytes
from safer_clip.journals import read_journal

if TYPE_CHECKING:
    from datasets import Dataset

CHECKSUMS_FILE = "SHA256SUMS"
CARD_FILE = "README.md"
ROWS_A_SHARD = 250
SIDES = ("safe", "unsafe")
META = ("id", "safe_caption", "unsafe_caption", "category", "tag", "text_unsafe", "image_unsafe")
Row = dict[str, Any]


def export_benchmark(folder: Path, output: Path, layout: str, overwrite: bool = False) -> list[Path]:
    """Write a benchmark in another layout.

    Args:
        folder: of the benchmark.
        output: folder to write; empty or absent, unless overwritten, when its old content goes.
        layout: ``"datasets"``, ``"jsonl"``, ``"parquet"`` or ``"webdataset"``.
        overwrite: replace what the output holds.

    Returns:
        The written files, all of them in ``SHA256SUMS``.

    Raises:
        ConfigError: there is no such layout, the folder is no finished benchmark or the output lies in it.
        DataError: lists everything that is wrong with the benchmark's rows and pictures.
    """
    from safer_clip.data import ReadOptions, read_quadruplets

    read_manifest(folder)
    if layout not in _WRITERS:
        raise ConfigError(f"there is no layout {layout!r}; use one of {', '.join(_WRITERS)}")
    if not (folder / QUADRUPLETS_FILE).is_file():
        raise ConfigError(f"{folder} has no {QUADRUPLETS_FILE} yet; safer-clip benchmark build writes it")
    if output.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"--output {output} lies in the benchmark's own folder; name another")
    table = read_quadruplets(folder, options=ReadOptions(check_images="decode")).table
    rows = read_journal(folder / QUADRUPLETS_FILE)
    if overwrite and (output / CHECKSUMS_FILE).is_file():
        shutil.rmtree(output)  # an earlier export; anything else is refused
    prepare_output(output, overwrite=False)
    _WRITERS[layout](folder, output, rows, table)
    write_bytes(output / CARD_FILE, (folder / DATASHEET_FILE).read_bytes())
    return _write_checksums(output)


def _write_jsonl(folder: Path, output: Path, rows: Sequence[Row], _: Dataset) -> None:
    for row in rows:
        for side in SIDES:
            if name := row[f"{side}_image"]:
                (output / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, output / name)
    shutil.copyfile(folder / QUADRUPLETS_FILE, output / QUADRUPLETS_FILE)


def _write_saved(folder: Path, output: Path, rows: Sequence[Row], table: Dataset) -> None:
    _embed(folder, rows, table).save_to_disk(str(output))


def _write_parquet(folder: Path, output: Path, rows: Sequence[Row], table: Dataset) -> None:
    _embed(folder, rows, table).to_parquet(str(output / "quadruplets.parquet"))


def _embed(folder: Path, rows: Sequence[Row], table: Dataset) -> Dataset:
    """The table with its pictures' bytes in it, under their bare names: no path of this machine remains."""
    from datasets import Dataset

    columns = {name: list(table[name]) for name in table.column_names if not name.endswith("_image")}
    for side in SIDES:
        names = [row[f"{side}_image"] for row in rows]
        columns[f"{side}_image"] = [
            {"bytes": (folder / name).read_bytes(), "path": Path(name).name} if name else None for name in names
        ]
    return Dataset.from_dict({name: columns[name] for name in table.column_names}, features=table.features)


def _write_shards(folder: Path, output: Path, rows: Sequence[Row], _: Dataset) -> None:
    name = folder.resolve().name
    for shard, start in enumerate(range(0, len(rows), ROWS_A_SHARD)):
        with tarfile.open(output / f"{name}-{shard:06d}.tar", "w") as archive:
            for number, row in enumerate(rows[start : start + ROWS_A_SHARD], start=start):
                _add_sample(archive, f"{number:09d}", row, folder)


def _add_sample(archive: tarfile.TarFile, key: str, row: Row, folder: Path) -> None:
    told = {name: row[name] for name in META}
    _add_member(archive, f"{key}.json", json.dumps(told, ensure_ascii=False).encode())
    for side in SIDES:
        if name := row[f"{side}_image"]:
            path = folder / name
            _add_member(archive, f"{key}.{side}{path.suffix}", path.read_bytes())


def _add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no owner and no time: the same benchmark gives the same bytes
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _write_checksums(output: Path) -> list[Path]:
    files = sorted(path for path in output.rglob("*") if path.is_file())
    lines = [f"{_digest(path)}  {path.relative_to(output).as_posix()}\n" for path in files]
    write_bytes(output / CHECKSUMS_FILE, "".join(lines).encode())
    return files


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_WRITERS: dict[str, Callable[[Path, Path, Sequence[Row], Dataset], None]] = {
    "datasets": _write_saved,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "webdataset": _write_shards,
}
LAYOUTS = tuple(_WRITERS)
