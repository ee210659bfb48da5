"""Judges say whether a picture or a text is unsafe; each is named and versioned, and several can be combined."""

from safer_clip.judges.base import COMBINATIONS, ImageJudge, Judge, Judgement, TextJudge, judge_items
from safer_clip.judges.loading import load_judge, load_text_judge

__all__ = [
    "COMBINATIONS",
    "ImageJudge",
    "Judge",
    "Judgement",
    "TextJudge",
    "judge_items",
    "load_judge",
    "load_text_judge",
]
