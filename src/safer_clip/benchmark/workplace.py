"""A benchmark's folder: its manifest, and everything that was found out so far, read without any model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safer_clip.benchmark.candidates import Candidate, Rejection
from safer_clip.benchmark.filtering import Rules
from safer_clip.benchmark.images import PicturePair, read_pictures
from safer_clip.benchmark.leakage import Nearness, read_nearness
from safer_clip.benchmark.measures import Measure, Pair, read_measures
from safer_clip.benchmark.refusals import load_words
from safer_clip.benchmark.rewriting import Journal, Rewrite, find_settled
from safer_clip.benchmark.settings import BuildSettings
from safer_clip.benchmark.verdicts import Settled, Standing, find_standing, read_verdicts, settle
from safer_clip.config import check_settings
from safer_clip.errors import ConfigError
from safer_clip.files import write_bytes, write_json
from safer_clip.journals import read_journal

FORMAT = 1
MANIFEST_FILE, CANDIDATES_FILE, DROPPED_FILE = "manifest.json", "candidates.jsonl", "dropped.jsonl"
LOCK_FILE = ".lock"


@dataclass(frozen=True)
class Workplace:
    """A folder, read when it is looked at; call :meth:`reread` after something was added.

    Attributes:
        folder: of the benchmark.
        settings: that hold now.
    """

    folder: Path
    settings: BuildSettings

    @classmethod
    def open(cls, folder: Path) -> Workplace:
        """Open a folder that ``benchmark build`` wrote.

        Raises:
            ConfigError: it is none.
        """
        return cls(folder, read_settings(read_manifest(folder), folder))

    def reread(self) -> Workplace:
        """The same folder as it is now."""
        return Workplace(self.folder, self.settings)

    @cached_property
    def rules(self) -> Rules:
        """What pairs of captions are held against."""
        source = self.settings.source
        return Rules(self.settings.thresholds, load_words(source.words), source.language)

    @cached_property
    def candidates(self) -> dict[str, Candidate]:
        """The chosen captions by id, in the source's order."""
        return {row["id"]: Candidate(**row) for row in read_journal(self.folder / CANDIDATES_FILE)}

    @cached_property
    def dropped(self) -> list[Rejection]:
        """What the source's checks left out."""
        rows = read_journal(self.folder / DROPPED_FILE)
        return [Rejection(row["id"], row["stage"], tuple(row["reasons"])) for row in rows]

    @cached_property
    def rewrites(self) -> list[Rewrite]:
        """Every answer of the rewriter."""
        return Journal(self.folder).read()

    @cached_property
    def settled(self) -> dict[str, Rewrite]:
        """By id, the line that settled it."""
        return find_settled(self.rewrites)

    @cached_property
    def standing(self) -> Standing:
        """The verdicts of the human review that count."""
        return find_standing(read_verdicts(self.folder))

    @cached_property
    def reviewed(self) -> dict[str, Settled]:
        """What all reviewers together say, by id."""
        return settle(self.standing)

    @cached_property
    def pairs(self) -> dict[str, Pair]:
        """Rewritten candidates, with reviewers' edits applied."""
        found = {}
        for key, candidate in self.candidates.items():
            rewrite = self.settled.get(key)
            if rewrite and rewrite.status == "rewritten" and rewrite.text:
                edit = self.reviewed[key].unsafe_caption if key in self.reviewed else None
                found[key] = Pair(candidate, edit or rewrite.text)
        return found

    @cached_property
    def measures(self) -> dict[tuple[str, str], Measure]:
        """By id and unsafe caption."""
        return read_measures(self.folder)

    @cached_property
    def pictures(self) -> dict[str, PicturePair]:
        """What was made, by id."""
        return read_pictures(self.folder)

    @cached_property
    def nearness(self) -> dict[tuple[str, str], Nearness]:
        """To the training set that the settings name, by id and unsafe caption."""
        training = self.settings.leakage.training
        return read_nearness(self.folder, training) if training else {}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a folder was built with.

    Raises:
        ConfigError: the folder is no benchmark, or one of another format.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is no benchmark's folder: {error}; safer-clip benchmark build makes one") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ConfigError(f"{path} is not of format {FORMAT}; build the benchmark anew in another folder")
    return manifest


def read_settings(manifest: Mapping[str, Any], folder: Path) -> BuildSettings:
    """The settings of a manifest."""
    return check_settings(BuildSettings, manifest["settings"], f" in {folder / MANIFEST_FILE}")


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest atomically."""
    write_json(folder / MANIFEST_FILE, manifest)


def compare_manifests(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on in a folder whose earlier work hangs on something that has changed since.

    Raises:
        ConfigError: lists everything that changed.
    """
    old, new = (_describe_fixed(each) for each in (before, now))
    changed = [f"  {name}: {old.get(name)!r} before, now {new[name]!r}" for name in new if old.get(name) != new[name]]
    if changed:
        told = "\n".join(changed)
        raise ConfigError(f"{folder} was begun with other settings; go on with the same, or name another folder:\n{told}")


def _describe_fixed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    parts = ("source", "encoder", "rewriter", "text_judges", "image_judges", "generator")
    settings = check_settings(BuildSettings, manifest["settings"]).describe_fixed()
    return {**settings, **{f"the {name}": manifest[name] for name in parts}}


def write_candidates(folder: Path, candidates: Sequence[Candidate], dropped: Sequence[Rejection]) -> None:
    """Write both outcomes of the source's checks; candidates last, since their file says that the stage is done."""
    write_lines(folder / DROPPED_FILE, [asdict(each) for each in dropped])
    write_lines(folder / CANDIDATES_FILE, [asdict(each) for each in candidates])


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write JSONL atomically."""
    write_bytes(path, b"".join(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n" for row in rows))


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep a second build away, which would pay for the same answers; a killed build lets go by itself.

    Raises:
        ConfigError: another build is at work in the folder.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    with (folder / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another build is at work in {folder}; wait for its end") from error
        yield
