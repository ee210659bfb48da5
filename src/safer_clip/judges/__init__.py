"""Judges say whether a picture is unsafe; each is named and versioned, and several can be combined."""

from safer_clip.judges.base import COMBINATIONS, ImageJudge, Judgement, judge_images
from safer_clip.judges.loading import load_judge

__all__ = ["COMBINATIONS", "ImageJudge", "Judgement", "judge_images", "load_judge"]
