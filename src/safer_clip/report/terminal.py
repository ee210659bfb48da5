"""The methods table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safer_clip.report.tables import method_tables
from safer_clip.results import Results

if TYPE_CHECKING:
    from rich.table import Table


def tabulate(results: Results) -> list[Table]:
    """One table a benchmark, the same figures as the report's."""
    from rich.table import Table

    drawn = []
    for content in method_tables(results):
        table = Table(
            title=f"{content.caption}, percent", caption="; ".join(name for name, _ in content.groups if ":" in name)
        )
        table.add_column(content.corner)
        for heading in _name_columns(content.groups, content.columns):
            table.add_column(heading, justify="right")
        for row in content.rows:
            table.add_row(row.head, *(cell.text for cell in row.cells), end_section=row.base)
        drawn.append(table)
    return drawn


def _name_columns(groups: list[tuple[str, int]], columns: list[str]) -> list[str]:
    """The first word of a column's group above its own name."""
    leads = [name.split()[0].strip(":,") for name, width in groups for _ in range(width)]
    return [f"{lead}\n{column}" for lead, column in zip(leads, columns, strict=True)]
