"""Going on where a run was interrupted: a journal of what is done, and the refusal of other settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safer_clip.errors import ConfigError, DataError
from safer_clip.journals import append_rows, read_journal

_SHOWN = 60


class Journal:
    """What a run has found so far, item by item: append-only JSON lines beside the output that they become.

    The first line holds the run's settings. Nothing is written before the first item is there. A last line that was torn by
    an interruption is cut off; its item is done again.

    Args:
        path: of the journal; ``None`` keeps it in memory.
        settings: which a journal that is already there must have been begun with; only what JSON can hold.

    Raises:
        ConfigError: the journal belongs to a run with other settings, or cannot be read.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path, self._settings = path, dict(settings)
        self._values: dict[str, Any] = {}
        self._begun = False
        if path is not None and path.exists():
            self._recover(path)

    @classmethod
    def beside(cls, output: Path, settings: Mapping[str, Any]) -> Journal:
        """The journal of an output file, ``OUTPUT.journal``."""
        return cls(output.with_name(f"{output.name}.journal"), settings)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def add(self, key: str, value: Any) -> None:
        """Keep an item's result, on disk before this returns."""
        if self.path is not None:
            begin = [] if self._begun else [{"settings": self._settings}]
            append_rows(self.path, [*begin, {"key": key, "value": value}])
            self._begun = True
        self._values[key] = value

    def finish(self) -> None:
        """Remove the journal, once the output is there."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _recover(self, path: Path) -> None:
        try:
            rows = read_journal(path)
            if not rows:
                return  # torn in its first line, which is cut off when there is something to write
            header, *items = rows
            kept = header["settings"]
            self._values = {item["key"]: item["value"] for item in items}
        except (DataError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is no journal of an interrupted run ({error}); delete or move it") from error
        self._begun = True
        refuse_changes(
            kept, self._settings, f"{path} belongs to a run", "go on with its settings, or delete it to begin anew"
        )


def refuse_changes(kept: Mapping[str, Any], wanted: Mapping[str, Any], what: str, advice: str) -> None:
    """Refuse to mix results of different settings.

    Args:
        kept: settings of what is there.
        wanted: settings of this run.
        what: is there, to begin the message with.
        advice: to end it with.

    Raises:
        ConfigError: they differ; tells every setting that does.
    """
    changed = [name for name in {**kept, **wanted} if kept.get(name) != wanted.get(name)]
    if changed:
        told = ", ".join(f"{name} was {_shorten(kept.get(name))}, is now {_shorten(wanted.get(name))}" for name in changed)
        raise ConfigError(f"{what} with other settings ({told}); {advice}")


def _shorten(value: Any) -> str:
    told = json.dumps(value, ensure_ascii=False)
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}..."
