"""How much memory a computation takes, and giving back what it no longer needs."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from itertools import accumulate

import torch

_LARGE_BLOCK = 1 << 20
_M_MMAP_THRESHOLD = -3  # of malloc.h


def measure_peak(compute: Callable[[], object], device: torch.device) -> int:
    """Run something, and return the bytes that tensors took at its worst moment, beyond what was held before."""
    if device.type == "cuda":
        return _measure_cuda(compute, device)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler's library tells on the terminal that it begins and ends
    with torch.autograd.profiler.profile(use_kineto=False, profile_memory=True) as profile:
        compute()
    events = sorted(profile.function_events or (), key=lambda event: event.time_range.start)
    return max(accumulate((int(event.self_cpu_memory_usage) for event in events), initial=0))


def _measure_cuda(compute: Callable[[], object], device: torch.device) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    compute()
    return torch.cuda.max_memory_allocated(device) - before


def return_freed_blocks() -> None:
    """Let the C library give large blocks back to the system as soon as they are freed, for the rest of the process.

    By default it keeps blocks of up to 32 MB for later, in pieces: a training step of a ViT-L/14 on a processor then holds
    several times what its tensors take. Only where there is glibc; elsewhere nothing happens.
    """
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
