import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from matplotlib.transforms import Bbox

from safer_clip.report.charts import _place, _shared, draw_drift, draw_tradeoff, method_styles


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ET.fromstring(svg).iter("text")]


def ids(svg):
    return [element.get("id") for element in ET.fromstring(svg).iter() if element.get("id")]


def lines(svg):
    return sum("stroke-opacity" in element.get("style", "") for element in ET.fromstring(svg).iter("path"))


def test_every_method_is_a_labelled_point(full, read):
    svg = draw_tradeoff(read(full), "mini_visu")
    for key, title in (("clip", "CLIP"), ("clip_plus", "CLIP+"), ("safer_clip", "SafeR-CLIP")):
        assert texts(svg).count(title) == 1
        assert f"tradeoff-mini-visu-point-{key}" in ids(svg)
    assert "SafeR-CLIP 58.0 and 44.4" in ET.fromstring(svg).get("aria-label")


@pytest.mark.parametrize("side", ["text", "vision"])
def test_every_trained_method_is_a_labelled_line(full, read, side):
    svg = draw_drift(read(full), side)
    assert [title for title in texts(svg) if "CLIP" in title] == ["SafeR-CLIP", "CLIP+"]
    assert {f"drift-{side}-line-clip_plus", f"drift-{side}-line-safer_clip"} <= set(ids(svg))


def test_nothing_to_draw_is_no_chart(small, read):
    for method in small["methods"].values():
        method["drift"], method["zero_shot"] = {}, {}
    assert draw_drift(read(small), "text") is None
    assert draw_tradeoff(read(small), "mini_visu") is None
    assert draw_tradeoff(read(small), "unknown") is None


def test_charts_can_share_a_page(full, read):
    charts = [draw_drift(read(full), "text"), draw_drift(read(full), "vision"), draw_tradeoff(read(full), "mini_visu")]
    every = [name for svg in charts for name in ids(svg)]
    assert len(every) == len(set(every))
    for svg in charts:
        assert "<style" not in svg
        assert "http" not in svg
        used = [e.get("href").removeprefix("#") for e in ET.fromstring(svg).iter() if e.get("href")]
        assert used
        assert set(used) <= set(ids(svg))


def test_inks_follow_the_page(full, read):
    svg = draw_tradeoff(read(full), "mini_visu")
    assert "var(--ink)" in svg
    assert "#010203" not in svg


def test_the_same_results_give_the_same_chart(full, read):
    assert draw_drift(read(full), "text") == draw_drift(read(full), "text")


def test_titles_are_words_and_not_formulas(full, read):
    full["methods"]["safer_clip"]["title"] = "$x^2$ <b>"
    assert "$x^2$ <b>" in texts(draw_tradeoff(read(full), "mini_visu"))


def test_colours_are_one_per_method_whatever_else_is_there(full, read):
    full["methods"]["mine"] = full["methods"]["clip_plus"]
    styles = method_styles(read(full))
    assert len(set(styles.values())) == len(styles)
    del full["methods"]["clip_plus"]
    assert method_styles(read(full))["safer_clip"] == styles["safer_clip"]


def test_names_of_points_in_one_place_stay_apart():
    frame, taken = Bbox.from_bounds(0, 0, 400, 300), [Bbox.from_bounds(193, 143, 14, 14)]
    for _ in range(6):
        box = _place(70, 14, (200, 150), taken, frame)
        assert not any(_shared(box, other) for other in taken)
        assert _shared(box, frame) == pytest.approx(70 * 14)
        taken.append(box)


def test_matplotlib_waits_until_a_chart_is_drawn():
    code = "import sys, safer_clip.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_intervals_are_whiskers_that_labels_avoid(full, read):
    plain = draw_tradeoff(read(full), "mini_visu")
    for method in full["methods"].values():
        mean = method["zero_shot"]["mean"]
        method["zero_shot_intervals"]["mean"] = [mean - 3, mean + 3]
    both = draw_tradeoff(read(full), "mini_visu")
    for method in full["methods"].values():
        for scores in method["retrieval"]["mini_visu"].values():
            scores["intervals"] = {}
    across = draw_tradeoff(read(full), "mini_visu")
    assert lines(both) - lines(across) == lines(both) - lines(plain) == 3
    for svg in (plain, across, both):
        assert sum("CLIP" in text for text in texts(svg)) == 3
