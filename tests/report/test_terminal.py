from rich.console import Console

from safer_clip.report.terminal import tabulate


def test_nothing_is_cut_in_eighty_columns(full, read):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    for table in tabulate(read(full)):
        console.print(table)
    told = console.export_text()
    assert "…" not in told
    (row,) = [line for line in told.splitlines() if "SafeR-CLIP" in line]
    assert row.split()[1:] == ["44.4", "44.4", "15.6", "15.6", "58.0", "58.0", "58.0", "3", "min"]
    assert max(map(len, told.splitlines())) <= 80
