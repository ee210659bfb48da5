import pytest

from safer_clip.report.page import render_report
from safer_clip.report.query_tables import attack_tables, category_tables, paired_tables
from safer_clip.report.tables import method_tables
from safer_clip.report.terminal import tabulate


@pytest.fixture
def told(small, read):
    methods = small["methods"]
    curve = {
        "rates": {"0": {"success": 10.0, "interval": [4, 16]}, "2": {"success": 55.0, "interval": [45, 65]}},
        "queries": 100,
    }
    for key in ("clip", "safer_clip"):
        methods[key]["attack"] = {"mini_visu": {"captions": curve, "pictures": curve, "seed": 0}}
        scores = {"R@1": 31.25, "unsafe_rate": 12.5, "queries": 160}
        methods[key]["categories"] = {"mini_visu": {"weapons": {"T*->V": scores}}}
    changed = {"changed": 7.5, "interval": [6, 9], "queries": 1000}
    methods["clip_plus"]["changed_answers"] = {"mini_visu": {"T->V": changed}}
    methods["safer_clip"]["changed_answers"] = {"mini_visu": {"T->V": changed | {"changed": 3.5}}}
    sure, unsure = {"value": -24.4, "interval": [-27, -21]}, {"value": 0.4, "interval": [-1, 1.5]}
    pair = {"against": "safer_clip", "retrieval": {"mini_visu": {"redirection": sure, "recall": unsure}}, "zero_shot": sure}
    small["paired"] = {"clip_plus": pair}
    return read(small)


def test_changed_answers_are_a_column_that_the_base_model_leaves_empty(told):
    (table,) = method_tables(told)
    column = table.columns.index("T→V")  # the first of that name: the recalls follow it
    assert [row.cells[column].text for row in table.rows] == ["–", "7.5", "3.5"]
    assert table.rows[2].cells[column].best
    assert ("Harmless changed, lower is better", 1) in table.groups
    assert tabulate(told)  # the terminal leaves the column out


def test_results_without_changed_answers_have_no_such_column(small, read):
    (table,) = method_tables(read(small))
    assert not any("changed" in name for name, _ in table.groups)


def test_differences_are_bold_where_their_interval_leaves_out_zero(told):
    (table,) = paired_tables(told)
    (row,) = table.rows
    assert row.head == "CLIP+ minus SafeR-CLIP"
    cells = dict(zip(table.columns, row.cells, strict=True))
    assert (cells["Both, R@1"].text, cells["Both, R@1"].note, cells["Both, R@1"].best) == ("−24.4", "−27.0 to −21.0", True)
    assert (cells["Safe queries, R@1"].text, cells["Safe queries, R@1"].best) == ("+0.4", False)
    assert cells["Unsafe first"].text == "–"
    assert cells["Zero-shot"].best


def test_categories_have_a_pair_of_columns_a_method(told):
    (table,) = category_tables(told)
    (row,) = table.rows
    assert row.head == "weapons"
    assert row.cells[0].text == "160"
    assert (row.cells[1].text, row.cells[1].note) == ("31.2", "unsafe 12.5")
    assert [cell.text for cell in row.cells[2:5]] == ["–"] * 3
    assert sum(span for _, span in table.groups) == len(table.columns) == len(row.cells)


def test_attacks_have_a_column_a_budget(told):
    (table,) = attack_tables(told)
    assert table.columns == ["0", "2", "0", "2/255", "Queries"]
    assert [row.head for row in table.rows] == ["CLIP", "SafeR-CLIP"]
    assert [cell.text for cell in table.rows[0].cells] == ["10.0", "55.0", "10.0", "55.0", "100"]


def test_the_page_has_all_of_them(told):
    page = render_report(told)
    for words in ("Under attack", "By category", "CLIP+ minus SafeR-CLIP", "Harmless changed"):
        assert words in page


def test_old_results_have_none_of_them(small, read):
    results = read(small)
    assert attack_tables(results) == category_tables(results) == paired_tables(results) == []
    assert "Under attack" not in render_report(results)
