"""Quadruplets of captions and images: reading, checking, and the one table that everything else works on.

>>> from safer_clip.data import read_quadruplets
>>> result = read_quadruplets("quadruplets.jsonl")  # doctest: +SKIP
>>> result.table.column_names, result.report.summary()  # doctest: +SKIP
"""

from safer_clip.data.problems import Kind, Problem, ProblemLog
from safer_clip.data.quadruplets import (
    QUADRUPLET_COLUMNS,
    Quadruplet,
    ReadReport,
    ReadResult,
    build_table,
    quadruplet_features,
)
from safer_clip.data.reading import ColumnMap, ReadOptions
from safer_clip.data.sources import read_quadruplets
from safer_clip.data.tables import read_saved, read_table
from safer_clip.data.tags import I2P_CATEGORIES, MINIATURE_CATEGORIES, normalise_tag
from safer_clip.data.visu import read_visu

__all__ = [
    "I2P_CATEGORIES",
    "MINIATURE_CATEGORIES",
    "QUADRUPLET_COLUMNS",
    "ColumnMap",
    "Kind",
    "Problem",
    "ProblemLog",
    "Quadruplet",
    "ReadOptions",
    "ReadReport",
    "ReadResult",
    "build_table",
    "normalise_tag",
    "quadruplet_features",
    "read_quadruplets",
    "read_saved",
    "read_table",
    "read_visu",
]
