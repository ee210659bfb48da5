from xml.etree import ElementTree as ET

import pytest

from safer_clip.evaluation.frontier import Frontier, FrontierPoint, measure_curve
from safer_clip.report.frontier import draw_frontier, stand_alone, summarize_frontier, write_frontier_charts

SVG = "{http://www.w3.org/2000/svg}"


def trace(title, *points, chance=10.0):
    made = []
    for strength, safety, useful in points:
        sides = {"T*->V": safety, "V*->T": safety}
        utility = {"zero_shot": useful, "recall": useful} if chance else {"recall": useful}
        each = {"strength": strength, "safety": safety, "redirection": sides, "unsafe_rate": sides, "utility": utility}
        made.append(FrontierPoint.model_validate(each))
    return Frontier(title=title, benchmarks={"mini/visu": measure_curve(made, chance)})


@pytest.fixture
def frontiers():
    first = trace("SafeR-CLIP", (0.0, 1.0, 90.0), (0.5, 20.0, 89.0), (1.0, 40.0, 80.0))
    second = trace("<mine> $x$", (0.0, 1.0, 90.0), (0.5, 9.0, 70.0))
    return {"safer_clip": first, "mine": second}


def test_every_method_is_a_line_with_its_name(frontiers):
    root = ET.fromstring(draw_frontier(frontiers, "mini/visu", "zero_shot"))
    texts = ["".join(element.itertext()).strip() for element in root.iter("text")]
    assert [texts.count(name) for name in ("SafeR-CLIP", "<mine> $x$", "base model")] == [1, 1, 1]
    ids = {element.get("id") for element in root.iter()}
    assert {"frontier-mini-visu-zero-shot-line-safer_clip", "frontier-mini-visu-zero-shot-point-mine"} <= ids
    assert "SafeR-CLIP 0." in root.get("aria-label")


def test_nothing_to_draw_is_no_chart(frontiers):
    assert draw_frontier(frontiers, "another", "zero_shot") is None
    assert draw_frontier({"a": trace("A", (1.0, 5.0, 5.0), chance=None)}, "mini/visu", "zero_shot") is None


def test_a_file_of_its_own_brings_the_colours_that_it_names(frontiers, tmp_path):
    (path,) = write_frontier_charts(frontiers, tmp_path / "frontier.json")
    assert path.name == "frontier-mini-visu.svg"
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    style = root.find(f"{SVG}style").text
    used = {part.split(")")[0] for part in path.read_text().split("var(")[1:]}
    assert used
    assert all(f"{name}:" in style for name in used)


def test_without_zero_shot_sets_the_file_shows_the_recall(tmp_path):
    (path,) = write_frontier_charts({"a": trace("A", (1.0, 5.0, 5.0), chance=None)}, tmp_path / "f.json")
    assert "T→V and V→T" in path.read_text()


def test_lines_for_a_terminal(frontiers):
    lines = list(summarize_frontier(frontiers))
    assert lines[0].startswith("mini/visu, zero-shot, SafeR-CLIP: hypervolume 0.3")
    assert "84.5 at 30" in lines[0]
    assert lines[1].endswith("reaches no redirection of 10")
    assert len(lines) == 4


def test_stand_alone_keeps_the_rest():
    assert stand_alone('<svg role="img"><g /></svg>').startswith(
        '<svg role="img" xmlns="http://www.w3.org/2000/svg"><style>'
    )
