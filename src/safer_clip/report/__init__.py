"""The report: one self-contained HTML page drawn from a results file."""

from safer_clip.report.errors import ReportError
from safer_clip.report.page import render_report, write_report

__all__ = ["ReportError", "render_report", "write_report"]
