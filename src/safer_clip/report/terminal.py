"""The methods table for a terminal of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safer_clip.report.tables import method_tables
from safer_clip.results import Results

if TYPE_CHECKING:
    from rich.table import Table

LEADS = {"Safety": "R@1", "Unsafe": "unsafe", "Utility": "R@1", "Training": ""}
"""What stands above a column, by the first word of its group; other groups are for the report."""


def print_results(results: Results) -> None:
    """Print the table of each benchmark."""
    from rich.console import Console

    console = Console()
    for table in tabulate(results):
        console.print(table)


def tabulate(results: Results) -> list[Table]:
    """One table a benchmark, the same figures as the report's: safety in both directions, utility, time."""
    from rich import box
    from rich.table import Table

    drawn = []
    for content in method_tables(results):
        leads = [name.split()[0].strip(":,") for name, width in content.groups for _ in range(width)]
        shown = [index for index, lead in enumerate(leads) if lead in LEADS]
        table = Table(title=f"{content.caption}, percent; unsafe: first answer", box=box.SIMPLE, padding=(0, 1))
        table.add_column(content.corner)  # names may wrap, so that no figure is cut off
        for index in shown:
            heading = content.columns[index]
            # over two lines as the others are, which leaves room for longer names
            above = "Zero-\nshot" if heading == "Zero-shot" else f"{LEADS[leads[index]]}\n{heading}"
            table.add_column(above, justify="right", no_wrap=True)
        for row in content.rows:
            table.add_row(row.head, *(row.cells[index].text for index in shown), end_section=row.base)
        drawn.append(table)
    return drawn
