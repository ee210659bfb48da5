"""What can be wrong with results that are to be reported."""

from safer_clip.errors import SaferClipError


class ReportError(SaferClipError):
    """A report cannot be drawn from these results."""
