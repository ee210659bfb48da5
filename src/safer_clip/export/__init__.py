"""Handing a model over to other tools: every export is loaded back and compared with the model it came from."""

from safer_clip.export.exporting import FORMATS, ExportRecord, export_model

__all__ = ["FORMATS", "ExportRecord", "export_model"]
