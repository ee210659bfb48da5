"""The miniature as a suite: both benchmarks and all zero-shot sets."""

from __future__ import annotations

from safer_clip.evaluation.suite import ClassificationSet, Suite
from safer_clip.miniature.rendering import render_image
from safer_clip.miniature.splits import load_split
from safer_clip.miniature.zero_shot import ZeroShotSet, load_zero_shot

BENCHMARKS = ("mini_visu", "mini_nsfw_caps")


def load_suite(seed: int = 0) -> Suite:
    """Both test sets and every zero-shot set, rendered; nothing in them needs hiding."""
    return Suite(
        benchmarks={name: load_split(name) for name in BENCHMARKS},
        zero_shot=[render_set(zero_shot) for zero_shot in load_zero_shot()],
        harmless=True,
        seed=seed,
    )


def render_set(zero_shot: ZeroShotSet) -> ClassificationSet:
    """Draw a set's scenes."""
    images = [render_image(scene) for scene in zero_shot.scenes]
    return ClassificationSet(zero_shot.name, images, zero_shot.labels, zero_shot.prompts)
