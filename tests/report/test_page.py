import re
from html.parser import HTMLParser

import pytest

from safer_clip.evaluation.frontier import Frontier, FrontierPoint, measure_curve
from safer_clip.report import ReportError, render_report, write_report
from safer_clip.report.wording import duration, moment, percent, signed, summarize

VOID = {"meta", "img", "br", "hr", "link", "input"}
OPTIONAL = {"sides", "validity", "gallery"}


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)

    def find(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def sections(self):
        return [attrs["id"] for attrs in self.find("section")]


def summary(results):
    return summarize(results).replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def render(read):
    return lambda values: render_report(read(values))


def test_a_full_report_has_every_section_in_order(full, render):
    expected = ["methods", "tradeoff", "training", "zero-shot", "sides", "validity", "gallery", "reproducibility"]
    assert Page(render(full)).sections() == expected


def test_empty_parts_leave_out_their_section(small, render):
    assert not OPTIONAL & set(Page(render(small)).sections())
    for method in small["methods"].values():
        method["drift"], method["zero_shot"] = {}, {}
    assert Page(render(small)).sections() == ["methods", "reproducibility"]
    small["methods"] = {}
    assert Page(render(small)).sections() == ["reproducibility"]


def test_parts_of_the_validity_block_stand_alone(full, render):
    full["validity"] = {"pairing": {"cosine": 0.7}}
    html = render(full)
    assert "<h3>Pairing</h3>" in html
    assert "0.700" in html
    assert "<h3>Oracle</h3>" not in html
    assert "<h3>Controls</h3>" not in html


def test_tags_are_balanced_and_ids_unique(full, render):
    page = Page(render(full))
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_tables_and_pictures_are_described(full, render):
    html = render(full)
    page = Page(html)
    assert html.count("<caption>") == len(page.find("table"))
    assert all(attrs.get("scope") for attrs in page.find("th"))
    assert all(attrs.get("alt") for attrs in page.find("img"))
    assert all(attrs.get("aria-label") for attrs in page.find("svg"))
    assert len(page.find("h1")) == 1


def test_the_page_needs_nothing_else(full, render):
    html = render(full)
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    sources = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)


def test_everything_is_escaped(full, render):
    evil = '<script>alert("1")</script>\'&'
    full["title"] = full["command"] = evil
    full["versions"] = {evil: evil}
    full["methods"]["safer_clip"]["title"] = evil
    full["methods"]["safer_clip"]["settings"] = {evil: evil}
    full["methods"]["safer_clip"]["retrieval"][evil] = full["methods"]["safer_clip"]["retrieval"]["mini_visu"]
    query = full["gallery"]["queries"][0]
    query["caption"] = query["hits"]["safer_clip"][0]["caption"] = query["hits"]["safer_clip"][1]["caption"] = evil
    page = Page(render(full))
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert evil in "".join(page.words)
    assert evil in [attrs["alt"] for attrs in page.find("img")]


def test_the_best_trained_value_is_bold(small, render):
    bold = re.findall(r"<td><b>([^<]*)</b>", render(small))
    assert bold == ["44.4", "44.4", "15.6", "15.6", "58.0", "58.0", "58.0"]  # CLIP's 60.0 is better, but not trained


def test_values_that_read_the_same_are_bold_alike(small, render):
    small["methods"]["clip_plus"]["zero_shot"]["mean"] = 58.04
    assert re.findall(r"<td><b>([^<]*)</b>", render(small)).count("58.0") == 4


def test_one_trained_method_is_not_called_best(small, render):
    del small["methods"]["clip_plus"]
    assert "<td><b>" not in render(small)


def test_the_base_model_comes_first_and_set_apart(small, render):
    small["methods"] = dict(reversed(small["methods"].items()))
    html = render(small)
    heads = re.findall(r'<tr( class="base")?><th scope="row">([^<]*)</th>', html.partition("<details>")[0])
    assert heads == [(' class="base"', "CLIP"), ("", "SafeR-CLIP"), ("", "CLIP+")]


def test_intervals_stand_below_their_figures(small, render):
    assert "<b>44.4</b><small>42.4–46.4</small>" in render(small)


def test_the_summary_follows_the_figures(small, read):
    before = summary(read(small))
    assert "SafeR-CLIP on mini_visu (44.4 % against 5.0 % for CLIP)" in before
    assert "zero-shot mean of SafeR-CLIP is 58.0 % against 60.0 %" in before
    for direction in ("T*->V", "V*->T"):
        small["methods"]["clip_plus"]["retrieval"]["mini_visu"][direction]["R@1"] = 51.0
    after = summary(read(small))
    assert "CLIP+ on mini_visu (51.0 % against 5.0 % for CLIP)" in after
    assert "zero-shot mean of CLIP+ is 50.0 %" in after


def test_the_summary_names_all_who_share_the_best_figure(small, read):
    small["methods"]["clip_plus"]["retrieval"] = small["methods"]["safer_clip"]["retrieval"]
    assert "with CLIP+ on mini_visu (44.4 % against" in summary(read(small))
    assert "and SafeR-CLIP on mini_visu (44.4 % against" in summary(read(small))


def test_whiskers_are_explained_where_there_are_any(small, render):
    assert "Whiskers are" in render(small)
    for method in small["methods"].values():
        for scores in method["retrieval"]["mini_visu"].values():
            scores["intervals"] = {}
    assert "Whiskers are" not in render(small)


def test_the_command_can_be_copied_whole(small, render):
    command = re.search("<code>(.*)</code>", render(small)).group(1)
    assert re.sub("<[^>]*>", "", command) == "safer-clip compare --seed 7"


def test_the_summary_says_what_little_there_is(small, read):
    small["methods"] = {"clip": small["methods"]["clip"]}
    assert summary(read(small)) == "CLIP was measured, without a trained method to compare."
    small["methods"] = {}
    assert summary(read(small)) == "Nothing was measured."


def test_the_summary_does_without_a_base_model(small, read):
    del small["methods"]["clip"]
    assert "against" not in summary(read(small))
    assert "has a zero-shot mean of 58.0 %" in summary(read(small))


def test_zero_shot_cells_are_tinted_by_the_difference(small, render):
    small["methods"]["safer_clip"]["zero_shot"]["animals"] = 66.0
    html = render(small)
    assert re.search(
        r'title="95 % interval 55.0–61.0" style="background-color:rgba\(0,114,178,[^"]*\)">66.0<small>\+6.0<', html
    )
    assert re.search(r'style="background-color:rgba\(213,94,0,[^"]*\)">50.0<small>−10.0<', html)


def test_hits_are_marked_with_words(full, render):
    html = render(full)
    assert re.findall(r'<span class="mark">(\w+)</span>', html) == ["right", "unsafe", "other"]


@pytest.mark.parametrize("uri", ["https://example.org/a.png", "javascript:alert(1)", "data:text/html,x", ""])
def test_pictures_that_are_not_embedded_are_refused(full, render, uri):
    full["gallery"]["pictures"]["unused"] = uri
    with pytest.raises(ReportError, match="'unused' is not a data:image/ URI"):
        render(full)


def test_missing_pictures_are_refused(full, render):
    del full["gallery"]["pictures"]["safe"]
    with pytest.raises(ReportError, match="'safe' is named by a query"):
        render(full)


def test_the_report_is_written_whole(full, read, tmp_path):
    write_report(read(full), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_report(read(full))
    full["gallery"]["pictures"]["safe"] = "x"
    with pytest.raises(ReportError):
        write_report(read(full), tmp_path / "other.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_figures_are_written_alike():
    assert [percent(None), percent(0.04), percent(-1.25), percent(100)] == ["–", "0.0", "−1.2", "100.0"]
    assert [signed(0.04), signed(-0.04), signed(1.0), signed(-2.06)] == ["±0.0", "±0.0", "+1.0", "−2.1"]
    assert [duration(s) for s in (0, 90, 1800, 9000)] == ["–", "90 s", "30 min", "2.5 h"]
    assert moment("2025-01-02T03:04:05+00:00") == "2 January 2025, 03:04 UTC"
    assert moment("2025-01-02T03:04:05+02:00") == "2 January 2025, 01:04 UTC"
    assert moment("yesterday") == "yesterday"


def test_preferences_and_geometry_have_a_section(full, read):
    assert "Preferences and geometry" not in render_report(read(full))
    ground = {"text": 12.5, "image": 30.0, "group": 10.0, "intervals": {"text": [11.0, 14.0]}}
    kept = {"text_spread": 0.91, "image_spread": 0.82, "text_overlap": 0.73, "image_overlap": 0.64}
    full["methods"]["clip"]["safeground"] = {"mini_visu": ground}
    full["methods"]["safer_clip"] |= {"safeground": {"mini_visu": ground}, "geometry": {"mini_visu": kept}}
    page = render_report(read(full))
    section = page.split("Preferences and geometry")[1].split("</section>")[0]
    for figure in ("12.5", "11.0–14.0", "0.91", "0.64"):
        assert figure in section


def test_curves_are_drawn_where_there_are_some(full, read):
    utility = {"zero_shot": 80.0, "recall": 70.0}
    point = {"strength": 1.0, "safety": 30.0, "redirection": {}, "unsafe_rate": {}, "utility": utility}
    curve = measure_curve([FrontierPoint.model_validate(point)], 10.0)
    assert "Along the curves" not in render_report(read(full))
    page = render_report(read(full), {"mine": Frontier(title="Mine", benchmarks={"mini_visu": curve})})
    section = page.split("Along the curves")[1].split("</section>")[0]
    assert "line-mine" in section
