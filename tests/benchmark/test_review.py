"""The routes of the review, and who may use them."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from reviewing import read_journal, write_benchmark
from starlette.testclient import TestClient

from safer_clip.benchmark.review import LONGEST_CAPTION, ReviewDesk, create_app, make_token
from safer_clip.benchmark.review_guard import TOKEN_HEADER
from safer_clip.benchmark.review_server import load_pairs

TOKEN = "a-token-for-tests"
HOME = "http://127.0.0.1:8000"


@pytest.fixture
def folder(tmp_path):
    write_benchmark(tmp_path, rows=3)
    return tmp_path


def make_client(folder, reviewer="ann", base_url=HOME):
    return TestClient(create_app(ReviewDesk(folder, load_pairs(folder), reviewer, TOKEN)), base_url=base_url)


@pytest.fixture
def client(folder):
    """A browser that has opened the page."""
    client = make_client(folder)
    assert client.get("/", params={"token": TOKEN}).status_code == 200
    return client


def send(client, path, body=None, token=TOKEN):
    return client.post(path, json=body or {}, headers={TOKEN_HEADER: token})


def ids(folder):
    return [json.loads(line)["id"] for line in (folder / "quadruplets.jsonl").read_text().splitlines()]


PATHS = ["/", "/pairs/1", "/pictures/1/safe", "/pictures/1/unsafe", "/summary", "/static/review.js"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_told_without_the_token(folder, path):
    stranger = make_client(folder)
    assert stranger.get(path).status_code == 403
    assert stranger.get(path, params={"token": "wrong"}).status_code == 403
    assert stranger.get("/", params={"token": "\xe9"}).status_code == 403
    assert "beer" not in stranger.get(path).text
    if path != "/":  # the token belongs into the page's address alone
        assert stranger.get(path, params={"token": TOKEN}).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_told_to_browsers_as_private(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_cookie_is_for_this_port_alone(client):
    cookie = client.get("/").headers["set-cookie"]
    assert cookie.startswith("safer_clip_review_8000=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


@pytest.mark.parametrize("host", ["http://evil.example", "http://127.0.0.1.evil.example:8000", "http://192.168.0.7:8000"])
def test_other_host_names_are_refused(folder, host):
    assert make_client(folder, base_url=host).get("/", params={"token": TOKEN}).status_code == 400


@pytest.mark.parametrize("path", ["/verdicts", "/undo"])
def test_a_cookie_does_not_suffice_to_write(client, folder, path):
    body = {"id": ids(folder)[0], "verdict": "accept"}
    assert client.post(path, json=body).status_code == 403
    assert client.post(path, json=body, params={"token": TOKEN}).status_code == 403
    assert send(client, path, body, token="wrong").status_code == 403
    assert read_journal(folder) == []


def test_tokens_are_long_and_new_each_time():
    assert len({make_token() for _ in range(50)}) == 50
    assert len(make_token()) >= 40


def test_the_page_needs_nothing_from_elsewhere_and_tells_no_caption(client, folder):
    page = client.get("/").text
    assert "http://" not in page
    assert "https://" not in page
    assert "<style" not in page
    assert "style=" not in page
    for line in (folder / "quadruplets.jsonl").read_text().splitlines():
        assert json.loads(line)["unsafe_caption"] not in page


def test_names_cannot_break_out_of_the_page(folder):
    client = make_client(folder, reviewer="<script>alert(1)</script>")
    page = client.get("/", params={"token": TOKEN}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_an_unsafe_picture_is_blurred_until_it_is_asked_for(client, folder):
    def fetch(name):
        answer = client.get(f"/pictures/1/{name}")
        assert answer.headers["content-type"] == "image/png"
        return Image.open(BytesIO(answer.content)).convert("RGB")

    original = Image.open(folder / "images/unsafe/0.png").convert("RGB")
    clear, blurred = fetch("unsafe"), fetch("unsafe-blurred")
    assert clear.tobytes() == original.tobytes()
    assert fetch("safe").tobytes() == Image.open(folder / "images/safe/0.png").convert("RGB").tobytes()
    edges = [np.abs(np.diff(np.asarray(image.resize((48, 48)), float), axis=1)).max() for image in (clear, blurred)]
    assert edges[1] < 0.4 * edges[0]


@pytest.mark.parametrize("path", ["/pictures/0/safe", "/pictures/4/safe", "/pictures/1/elsewhere", "/static/../review.py"])
def test_there_are_no_other_pictures(client, path):
    assert client.get(path).status_code == 404


def test_a_picture_that_was_deleted_meanwhile_is_an_error_of_its_own(client, folder):
    (folder / "images/unsafe/0.png").unlink()
    answer = client.get("/pictures/1/unsafe-blurred")
    assert answer.status_code == 500
    assert "0.png" in answer.json()["error"]
    assert client.get("/pairs/1").status_code == 200


def test_verdicts_are_on_disk_when_they_are_answered(client, folder):
    first, second, third = ids(folder)
    answer = send(client, "/verdicts", {"id": first, "verdict": "accept"}).json()
    assert (answer["number"], answer["progress"]["next"], answer["progress"]["decided"]) == (1, 2, 1)
    assert read_journal(folder) == [("ann", first, "accept")]
    send(client, "/verdicts", {"id": third, "verdict": "reject"})
    answer = send(client, "/verdicts", {"id": second, "verdict": "edit", "unsafe_caption": "a new text"}).json()
    assert answer["progress"]["next"] is None
    assert read_journal(folder)[1:] == [("ann", third, "reject"), ("ann", second, "edit", "a new text")]
    assert client.get("/pairs/2").json()["verdict"] == "edit"
    assert client.get("/summary").json()["counts"] == {"accept": 1, "edit": 1, "reject": 1}
    assert send(client, "/undo").json() == {"number": 2}
    assert read_journal(folder)[-1] == ("ann", second, "undo")


def test_what_another_tab_decided_is_seen(folder, client):
    other = make_client(folder)
    send(other, "/verdicts", {"id": ids(folder)[0], "verdict": "accept"})
    assert client.get("/pairs/2").json()["progress"]["decided"] == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"id": "nobody", "verdict": "accept"}, "no pair 'nobody'"),
        ({"verdict": "accept"}, "id: Field required"),
        ({"id": "FIRST", "verdict": "undo"}, "verdict: Input should be"),
        ({"id": "FIRST", "verdict": "edit", "unsafe_caption": ""}, "empty"),
        ({"id": "FIRST", "verdict": "edit", "unsafe_caption": "x" * (LONGEST_CAPTION + 1)}, "at most"),
        ({"id": "FIRST", "verdict": "accept", "reviewer": "bob"}, "not permitted"),
    ],
)
def test_what_is_no_verdict_is_refused_with_a_reason(client, folder, body, message):
    if body.get("id") == "FIRST":
        body = body | {"id": ids(folder)[0]}
    answer = send(client, "/verdicts", body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    assert read_journal(folder) == []


def test_nothing_to_undo_is_said(client):
    answer = send(client, "/undo")
    assert (answer.status_code, answer.json()["error"]) == (422, "There is nothing to take back.")


def test_a_journal_that_cannot_be_written_is_told_not_passed_over(client, folder):
    (folder / "verdicts.jsonl").mkdir()
    answer = send(client, "/verdicts", {"id": ids(folder)[0], "verdict": "accept"})
    assert answer.status_code == 500
    assert "verdicts.jsonl" in answer.json()["error"]


def test_pairs_without_pictures_are_shown_by_their_captions(tmp_path):
    (tmp_path / "quadruplets.jsonl").write_text('{"id": "a", "safe_caption": "a tea", "unsafe_caption": "a beer"}\n')
    client = make_client(tmp_path)
    client.get("/", params={"token": TOKEN})
    assert client.get("/pairs/1").json()["pictures"] == {"safe": False, "unsafe": False}
    assert client.get("/pictures/1/unsafe").status_code == 404
