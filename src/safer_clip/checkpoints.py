"""Checkpoints of a run in safetensors and JSON: nothing that is read back is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from safer_clip.files import write_bytes, write_json

OPTIMIZER_FILE = "optimizer.safetensors"
SCHEDULER_FILE = "schedule.json"
LAST_FILE = "trainer_state.json"  # the trainer writes it last


def save_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Write an optimizer's moments and a scheduler's counters, each file atomically."""
    moments = optimizer.state_dict()["state"]
    tensors = {
        f"{index}.{name}": value.detach().contiguous()
        for index, state in moments.items()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    write_bytes(folder / OPTIMIZER_FILE, save(tensors))
    counters = {key: value for key, value in scheduler.state_dict().items() if _is_plain(value)}
    write_json(folder / SCHEDULER_FILE, counters)


def load_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Restore what :func:`save_optimizer` wrote into a freshly built optimizer and scheduler."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in load_file(folder / OPTIMIZER_FILE).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    counters = json.loads((folder / SCHEDULER_FILE).read_text(encoding="utf-8"))
    scheduler.load_state_dict(scheduler.state_dict() | counters)
    for group, rate in zip(optimizer.param_groups, counters["_last_lr"], strict=True):
        group["lr"] = rate


def find_checkpoint(folder: Path) -> Path | None:
    """The latest *whole* checkpoint in a folder; one that was being written when the run was killed does not count."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    for path in sorted(found, key=lambda path: -int(path.name.removeprefix("checkpoint-"))):
        if _is_whole(path):
            return path
    return None


def _is_whole(folder: Path) -> bool:
    try:
        json.loads((folder / LAST_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False
    return (folder / OPTIMIZER_FILE).is_file() and (folder / SCHEDULER_FILE).is_file()


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return isinstance(value, bool | int | float | str) or value is None
