"""Running the same job in several processes, one a device, as ``torchrun`` and ``accelerate launch`` start them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import PartialState

PATIENCE = timedelta(hours=24)
"""How long processes wait for the first one, which encodes the reference of all data alone."""


def join_processes() -> PartialState:
    """The processes of this job; one that was started by itself is the first and only one."""
    from accelerate import PartialState

    return PartialState(cpu=not has_accelerator(), timeout=PATIENCE)


def has_accelerator() -> bool:
    """Whether there is a GPU or the like; without one, processes have to be told that they meet on the processor."""
    import torch

    return torch.accelerator.is_available()
