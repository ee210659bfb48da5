"""Make CLIP-like models safer, and measure how safe and how useful they remain.

The names here are the whole job in Python; they load their libraries when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "DualEncoder": "safer_clip.models.dual_encoder",
    "EvaluateConfig": "safer_clip.config",
    "TrainConfig": "safer_clip.config",
    "evaluate": "safer_clip.comparison",
    "load_results": "safer_clip.results",
    "read_quadruplets": "safer_clip.data",
    "save_results": "safer_clip.results",
    "train": "safer_clip.tuning",
    "write_report": "safer_clip.report",
}

__all__ = [
    "DualEncoder",
    "EvaluateConfig",
    "TrainConfig",
    "__version__",
    "evaluate",
    "load_results",
    "read_quadruplets",
    "save_results",
    "train",
    "write_report",
]

if TYPE_CHECKING:
    from safer_clip.comparison import evaluate
    from safer_clip.config import EvaluateConfig, TrainConfig
    from safer_clip.data import read_quadruplets
    from safer_clip.models.dual_encoder import DualEncoder
    from safer_clip.report import write_report
    from safer_clip.results import load_results, save_results
    from safer_clip.tuning import train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
