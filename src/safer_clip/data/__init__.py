"""Quadruplets and their readers."""

from safer_clip.data.quadruplets import QUADRUPLET_COLUMNS, quadruplet_features

__all__ = ["QUADRUPLET_COLUMNS", "quadruplet_features"]
