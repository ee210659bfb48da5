"""The review page in a real browser, by its keyboard."""

import json
import re
import shutil
import threading
from urllib.parse import urlsplit

import pytest
from reviewing import interrupt, read_journal, start_review, write_benchmark

from safer_clip.benchmark.verdicts import Verdict, append_verdict

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")]

# Text that stands on a flat ground, with the colours that it really has; WCAG 2.1 asks for 4.5 to 1.
CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (e) => { const found = parse(getComputedStyle(e).backgroundColor);
    return found.length === 4 && found[3] === 0 ? (e.parentElement ? ground(e.parentElement) : [255, 255, 255]) : found; };
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && !e.matches(".veil, :disabled, :disabled *"))
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
    .map((e) => { const [one, other] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((a, b) => b - a);
      return { text: e.textContent.trim().slice(0, 30), ratio: (one + 0.05) / (other + 0.05) }; });
}"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.faults = []
    page.asked = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()


def wait_for_pair(page, number):
    page.wait_for_function(
        "n => !document.getElementById('pair').hidden"
        " && document.getElementById('pair-title').textContent.startsWith(`Pair ${n} of `)",
        arg=number,
    )


def press(page, key, then):
    page.keyboard.press(key)
    wait_for_pair(page, then)


def is_open(page):
    return page.locator("#unsafe-frame.open img.clear").count() == 1


def test_from_the_first_pair_to_the_last_by_keyboard(page, tmp_path):
    first, second, third, fourth = write_benchmark(tmp_path, rows=4)
    for key, verdict in ((first, "accept"), (second, "reject"), (third, "reject"), (fourth, "accept")):
        append_verdict(tmp_path, Verdict("bob", key, verdict))
    caption = json.loads((tmp_path / "quadruplets.jsonl").read_text().splitlines()[1])["unsafe_caption"]
    with start_review(tmp_path, "ann") as (process, address):
        page.goto(address)
        wait_for_pair(page, 1)
        assert "token" not in page.url
        assert page.locator("#count").inner_text() == "4 of 4 left"
        assert page.locator("mark").count() == 2

        # the unsafe picture comes blurred; a tap of b shows it, going on blurs
        page.wait_for_load_state("networkidle")
        assert not [url for url in page.asked if url.endswith("/unsafe")]
        page.keyboard.press("b")
        page.wait_for_selector("#unsafe-frame.open img.clear")
        assert page.locator("#look").get_attribute("aria-pressed") == "true"
        page.keyboard.press("b")
        assert not is_open(page)
        page.keyboard.press("b")
        page.wait_for_selector("#unsafe-frame.open img.clear")
        press(page, "a", 2)
        assert not is_open(page)
        assert page.locator("img.clear").count() == 0

        # help takes the keys while it is open
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("r")
        page.keyboard.press("Escape")
        assert not page.locator("#help").is_visible()

        # an edit that is cancelled leaves nothing, one that is saved goes on; letters are letters meanwhile
        page.keyboard.press("e")
        page.keyboard.type(" arbune?")
        page.keyboard.press("Escape")
        assert page.locator("#unsafe-caption").inner_text() == caption
        page.keyboard.press("e")
        page.keyboard.press("Enter")
        assert "Nothing was changed" in page.locator("#status").inner_text()
        page.keyboard.press("e")
        page.keyboard.type(" at night")
        press(page, "Enter", 3)

        # back to see it, and on to the next undecided
        press(page, "ArrowLeft", 2)
        assert page.locator("#unsafe-caption").inner_text() == f"{caption} at night"
        assert caption in page.locator("#original").inner_text()
        press(page, "ArrowLeft", 1)
        press(page, "n", 3)

        # a held b shows the picture only while it is held
        press(page, "r", 4)
        press(page, "u", 3)
        page.keyboard.down("b")
        page.wait_for_selector("#unsafe-frame.open img.clear")
        page.wait_for_timeout(600)
        assert is_open(page)
        page.keyboard.up("b")
        assert not is_open(page)
        press(page, "r", 4)
        assert page.locator("#partners").is_hidden()

        # buttons by the Tab key
        while page.evaluate("document.activeElement.id") != "accept":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#summary:not([hidden])")
        assert page.locator("#outcome").inner_text() == (
            "2 accepted as they are, 1 accepted with an edited caption, 1 rejected."
        )
        # 3 of 4 answers are bob's; chance (2*2 + 1*0 + 1*2) / 16 = 0.375; kappa (0.75 - 0.375) / 0.625
        assert page.locator("#partners tbody").inner_text().split("\t") == ["bob", "4", "75.0 %", "0.60"]
        assert "ann: 4 of 4 pairs decided, 0 left" in interrupt(process)
    assert [line for line in read_journal(tmp_path) if line[0] == "ann"] == [
        ("ann", first, "accept"),
        ("ann", second, "edit", f"{caption} at night"),
        ("ann", third, "reject"),
        ("ann", third, "undo"),
        ("ann", third, "reject"),
        ("ann", fourth, "accept"),
    ]
    assert page.faults == []
    assert {urlsplit(url).hostname for url in page.asked} == {"127.0.0.1"}


def test_a_killed_review_has_lost_nothing_and_goes_on(page, tmp_path):
    ids = write_benchmark(tmp_path, rows=40)
    with start_review(tmp_path, "ann") as (process, address):
        page.goto(address)
        wait_for_pair(page, 1)
        killer = threading.Timer(1.0, process.kill)
        killer.start()
        while page.locator("#alert").is_hidden():  # faster than anybody would, until the review does not answer
            page.keyboard.press("ar"[len(page.asked) % 2])
        killer.join()
        assert "does not answer" in page.locator("#alert").inner_text()
        shown = int(re.findall(r"\d+", page.locator("#pair-title").inner_text())[0])
    journal = read_journal(tmp_path)
    # the page says that a verdict is given when it goes on; at most the one after that may be on disk without an answer
    assert len(journal) in (shown - 1, shown)
    assert 1 < len(journal) < len(ids)
    assert [line[1] for line in journal] == ids[: len(journal)]
    with (tmp_path / "verdicts.jsonl").open("a") as file:
        file.write('{"reviewer": "ann", "id": ')  # as if it had been killed while writing
    with start_review(tmp_path, "ann") as (process, address):
        page.goto(address)
        wait_for_pair(page, len(journal) + 1)
        press(page, "u", len(journal))
        press(page, "a", len(journal) + 1)
        interrupt(process)
    *kept, undone, again = read_journal(tmp_path)
    assert kept == journal
    assert (undone[1:], again[1:]) == ((ids[len(journal) - 1], "undo"), (ids[len(journal) - 1], "accept"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_and_reached_on_any_screen(page, tmp_path, scheme):
    write_benchmark(tmp_path, rows=2)
    page.emulate_media(color_scheme=scheme)
    with start_review(tmp_path, "ann") as (_, address):
        page.goto(address)
        wait_for_pair(page, 1)
        check_contrast(page)
        for width in (1280, 768, 390, 320):
            page.set_viewport_size({"width": width, "height": 700})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        for button in page.locator("button:visible").all():
            assert (button.get_attribute("aria-label") or button.inner_text()).strip()
        page.keyboard.press("e")
        assert page.locator("#save").is_visible()
        assert page.get_by_label("Unsafe caption").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        check_contrast(page)
        page.keyboard.press("Escape")
        press(page, "r", 2)
        press(page, "ArrowLeft", 1)
        check_contrast(page)
        page.keyboard.press("ArrowRight")
        wait_for_pair(page, 2)
        page.keyboard.press("a")
        page.wait_for_selector("#summary:not([hidden])")
        check_contrast(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        page.get_by_role("button", name="Back to the pairs").click()
        wait_for_pair(page, 2)


def check_contrast(page):
    found = page.evaluate(CONTRASTS)
    assert found
    assert [each for each in found if each["ratio"] < 4.5] == []
