"""What ran where: versions and hardware, for results and bug reports."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safer_clip import __version__

PACKAGES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "datasets", "numpy", "pillow")


def describe_command() -> str:
    """The command that runs, as somebody would type it again."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def describe_context() -> dict[str, Any]:
    """What every results file says of its own making: when, by which command, with what and where."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": describe_command(),
        "versions": describe_versions(),
        "hardware": describe_hardware(),
    }


def describe_versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that influence figures; an absent one says so."""
    found = {"safer-clip": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe_hardware() -> dict[str, str]:
    """Platform, usable cores, memory in GiB where it is known, and accelerators."""
    import torch

    found = {"platform": platform.platform(), "cores": str(usable_cores()), "threads": str(torch.get_num_threads())}
    memory = _memory_gib()
    if memory:
        found["memory"] = f"{memory:.0f} GiB"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        found["accelerator"] = ", ".join(names)
    else:
        found["accelerator"] = "none"
    return found


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return None  # not on this platform
