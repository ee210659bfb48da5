"""How each method is trained on the miniature: the outcome of the same tuning effort for all, see docs/tuning.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safer_clip.config import TrainConfig
from safer_clip.methods import EditMethod, find_method
from safer_clip.models.lora import LoraSettings

TRAINING_ROWS = 4000
BATCH_SIZE = 32
PASSES = 3
"""How often a row is trained on: a curriculum that leaves out a whole pass at first gets an epoch more."""

TUNED: dict[str, dict[str, Any]] = {
    "clip_plus": {"learning_rate": 1e-4},
    "safe_clip": {"learning_rate": 6e-3, "objective": {"weights": (0.4, 0.1, 0.4, 0.2, 1.0, 0.25, 1.0, 0.5)}},
    "safer_clip": {"learning_rate": 1.2e-2, "objective": {"preservation": 4.0, "cross_preservation": 0.2}},
    # the best mean R@1 of all four directions on validation among 0.85, 0.9, 0.95 and 1, each of three seeds
    "safer_plus": {"learning_rate": 1.2e-2, "strength": 0.9},
    # Mini-ViSU has nothing for most of its terms: there all that is meant to be unsafe is
    "shield_clip": {
        "data": "miniature-v2",
        "learning_rate": 6e-3,
        "objective": {"redirect": 4.0, "preserve": 0.4, "preserve_generated": 0.4},
    },
    "hysac": {"learning_rate": 3e-3},
    "uwm": {"objective": {"text_mass": 0.9, "vision_mass": 0.9}},
    "projection": {"objective": {"rank": 6, "text_strength": 0.0, "image_strength": 1.5}},
}
TUNED["safe_clip_code"] = TUNED["safe_clip"]


def demo_config(method: str, output: Path, seed: int = 0, rows: int = TRAINING_ROWS, **changes: Any) -> TrainConfig:
    """Settings of a method on the miniature.

    All methods share what is not theirs to choose: data, and where they train batch size, number of passes and kind of
    adapters. ShieldCLIP, which asks for labels, gets the same rows with labels.

    Args:
        method: its name; one that has not been tuned has its own settings.
        output: folder of the tuned model.
        seed: of adapters, order and dropout.
        rows: training quadruplets.
        changes: fields that win over the tuned ones; of ``objective`` only those that are given.
    """
    shared = {"model": "miniature", "data": "miniature", "rows": rows, "method": method, "output": output, "seed": seed}
    known = TUNED.get(method, {})
    tuned = known | changes | {"objective": {**known.get("objective", {}), **changes.get("objective", {})}}
    return TrainConfig.model_validate(shared | _plan_training(method, changes) | tuned).resolve()


def _plan_training(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    method = find_method(name)
    if isinstance(method, EditMethod):
        return {}
    epochs = PASSES + round(sum(1 - share for share in changes.get("curriculum", method.curriculum)))
    return {"batch_size": BATCH_SIZE, "lora": LoraSettings(), "epochs": epochs}
