"""Methods without training, one a file: each edits the weights of a model once, and gives back an ordinary model."""

from safer_clip.editing.base import Edit, Edited
from safer_clip.editing.projection import ProjectionEdit
from safer_clip.editing.uwm import UwmEdit

__all__ = ["Edit", "Edited", "ProjectionEdit", "UwmEdit"]
