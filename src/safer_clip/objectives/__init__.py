"""Methods of safety tuning, one a file: pure functions of embeddings that return named, weighted terms."""

from safer_clip.objectives.base import Labels, Objective, Reference, Sides, Terms
from safer_clip.objectives.clip_plus import ClipPlusObjective
from safer_clip.objectives.hysac import HysacObjective
from safer_clip.objectives.safe_clip import SafeClipObjective
from safer_clip.objectives.safer_clip import SaferClipObjective
from safer_clip.objectives.safer_plus import SaferPlusObjective
from safer_clip.objectives.shield_clip import ShieldClipObjective

__all__ = [
    "ClipPlusObjective",
    "HysacObjective",
    "Labels",
    "Objective",
    "Reference",
    "SafeClipObjective",
    "SaferClipObjective",
    "SaferPlusObjective",
    "ShieldClipObjective",
    "Sides",
    "Terms",
]
