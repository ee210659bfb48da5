import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError
from safer_clip.judges import judge_images, load_judge
from safer_clip.judges.base import JudgeError
from safer_clip.judges.clip_head import ClipHeadJudge
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image

PICTURES = [Image.new("RGB", (8, 8), (shade,) * 3) for shade in (0, 50, 100, 150)]


class Fixed:
    """Scores that are known."""

    version = "1"

    def __init__(self, name, scores, threshold=0.5):
        self.name, self.scores, self.threshold = name, list(scores), threshold

    def score(self, images):
        taken, self.scores = self.scores[: len(images)], self.scores[len(images) :]
        return np.array(taken)


def judges():
    return [Fixed("one", [0.5, 0.6, 0.1, 0.0]), Fixed("two", [0.3, 0.1, 0.1, 0.0], threshold=0.2)]


def test_verdicts_are_combined_by_hand():
    # relative to their thresholds the scores are (1.0, 1.5), (1.2, 0.5), (0.2, 0.5), (0, 0): means 1.25, 0.85, 0.35, 0
    expected = {"any": [1, 1, 0, 0], "all": [1, 0, 0, 0], "mean": [1, 0, 0, 0]}
    for combination, unsafe in expected.items():
        found = judge_images(judges(), PICTURES, combination, batch_size=3)
        assert found.unsafe.tolist() == [bool(each) for each in unsafe]
        assert found.rate == 25 * sum(unsafe)
        assert found.rates == {"one 1": 50.0, "two 1": 25.0}
        assert found.judges == ("one 1", "two 1")


@given(
    st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)
)
def test_all_is_never_stricter_than_any(left, right):
    def ask(combination):
        return judge_images([Fixed("one", left), Fixed("two", right)], PICTURES, combination).unsafe

    assert (ask("all") <= ask("mean")).all()
    assert (ask("mean") <= ask("any")).all()


def test_what_cannot_be_judged_is_told():
    for wrong, told in (
        (([], PICTURES, "any"), "at least one judge"),
        ((judges(), [], "any"), "one picture"),
        (([Fixed("a", []), Fixed("a", [])], PICTURES, "any"), "same name"),
        ((judges(), PICTURES, "most"), "use one of any, all, mean"),
        (([Fixed("a", [], threshold=0)], PICTURES, "any"), "threshold of a must be"),
    ):
        with pytest.raises(ConfigError, match=told):
            judge_images(*wrong)
    for scores in ([0.1], [0.1, 0.2, 0.3, 1.5], [0.1, 0.2, 0.3, float("nan")]):
        with pytest.raises(JudgeError, match="a gave"):
            judge_images([Fixed("a", scores)], PICTURES)


def test_nudenet_finds_nothing_in_harmless_scenes():
    pytest.importorskip("nudenet")
    judge = load_judge("nudenet")
    scenes = [render_image(pair.safe).resize((320, 320)) for pair in draw_pairs("mini_visu", rows=3)]
    found = judge_images([judge], scenes)
    assert found.rate == 0
    assert found.judges[0].startswith("nudenet 3")


def test_nudenet_scores_by_the_surest_exposed_part(monkeypatch):
    pytest.importorskip("nudenet")
    judge = load_judge("nudenet")
    parts = [("FACE_FEMALE", 0.99), ("BUTTOCKS_EXPOSED", 0.4), ("ANUS_EXPOSED", 0.7), ("FEMALE_BREAST_COVERED", 0.9)]
    seen = []
    monkeypatch.setattr(
        judge,
        "_detector",
        type("D", (), {"detect": lambda _, x: seen.append(x) or [{"class": c, "score": s} for c, s in parts]})(),
    )
    assert judge.score([Image.new("RGB", (2, 1), (10, 20, 30))]).tolist() == pytest.approx([0.7])
    assert seen[0][0, 0].tolist() == [30, 20, 10]  # OpenCV's order


@pytest.fixture
def head(encoder, tmp_path):
    """Prompts that are the means of safe and of unsafe pictures' embeddings."""
    encoder.save(tmp_path / "clip")
    pairs = draw_pairs("mini_nsfw_caps", rows=150)
    pictures = {kind: [render_image(getattr(pair, kind)) for pair in pairs] for kind in ("safe", "unsafe")}
    prompts = np.stack([encoder.encode_images(pictures[kind]).mean(axis=0) for kind in ("safe", "unsafe")])
    save_file({"prompts": prompts}, tmp_path / "head.safetensors")
    manifest = {"name": "q16-like", "version": "7", "encoder": "clip", "kind": "prompts"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_a_clip_head_tells_unsafe_scenes_from_safe_ones(head):
    judge = load_judge(str(head))
    pairs = draw_pairs("mini_nsfw_caps", rows=190)[150:]
    rates = {
        kind: judge_images([judge], [render_image(getattr(p, kind)) for p in pairs]).rate for kind in ("safe", "unsafe")
    }
    assert judge.name == "q16-like"
    assert rates["unsafe"] > rates["safe"] + 20


def test_a_linear_head_by_hand(head, encoder):
    width = 128
    weight = np.zeros(width, np.float32)
    weight[0] = 3.0
    save_file({"weight": weight, "bias": np.array(-1.0, np.float32)}, head / "head.safetensors")
    manifest = json.loads((head / "manifest.json").read_text()) | {"kind": "linear", "threshold": 0.25}
    (head / "manifest.json").write_text(json.dumps(manifest))
    judge = ClipHeadJudge(head)
    expected = 1 / (1 + np.exp(-(3.0 * encoder.encode_images(PICTURES)[:, 0] - 1.0)))
    assert judge.score(PICTURES) == pytest.approx(expected, abs=1e-6)
    assert judge.threshold == 0.25


def test_a_head_that_does_not_fit_is_told(head):
    save_file({"prompts": np.ones((2, 3), np.float32)}, head / "head.safetensors")
    with pytest.raises(ConfigError, match=r"holds \{'prompts': \(2, 3\)\}; a prompts head for this encoder has"):
        ClipHeadJudge(head)
    (head / "manifest.json").write_text('{"name": "x", "kind": "tree"}')
    with pytest.raises(ConfigError, match=r"(?s)version.*encoder.*kind"):
        ClipHeadJudge(head)
    (head / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        ClipHeadJudge(head)
    (head / "head.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"lacks head\.safetensors"):
        ClipHeadJudge(head)


@pytest.fixture
def endpoint(monkeypatch):
    """A real server that speaks the OpenAI protocol; each request takes the next answer."""
    answers: list[object] = []
    requests: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = answers.pop(0)
            status, content = answer if isinstance(answer, tuple) else (200, answer)
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []}
            if content is not None:
                message = {"role": "assistant", "content": content}
                body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            told = json.dumps(body if status == 200 else {"error": {"message": content}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    yield f"http://127.0.0.1:{server.server_port}/v1", answers, requests
    server.shutdown()
    server.server_close()


def test_a_chat_model_is_asked_about_each_picture(endpoint):
    pytest.importorskip("openai")
    address, answers, requests = endpoint
    answers += ['{"unsafe": 0.9}', 'Sure: {"unsafe": 0.1} as asked']
    judge = load_judge(f"chat:vision-1@{address}")
    assert judge.score(PICTURES[:2]).tolist() == pytest.approx([0.9, 0.1])
    assert judge.version == requests[0]["model"] == "vision-1"
    assert requests[0]["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_rubbish_and_overload_are_survived_and_refusals_told(endpoint):
    pytest.importorskip("openai")
    address, answers, _ = endpoint
    judge = load_judge(f"chat:m@{address}")
    answers += [(429, "slow down"), (500, "oh"), '{"unsafe": 7}', None, '{"unsafe": 0.4}']
    assert judge.score(PICTURES[:1]).tolist() == pytest.approx([0.4])
    answers += ["I cannot help with that."] * 3
    with pytest.raises(JudgeError, match="3 times without a usable verdict"):
        judge.score(PICTURES[:1])
    answers += [(400, "no such model")]
    with pytest.raises(JudgeError, match=r"m cannot be asked: .*no such model"):
        judge.score(PICTURES[:1])


def test_an_endpoint_that_is_down_or_without_a_key_is_told(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    judge = load_judge("chat:m@http://127.0.0.1:9/v1")
    judge._client = judge._client.with_options(max_retries=0)
    with pytest.raises(JudgeError, match="m cannot be asked: Connection error"):
        judge.score(PICTURES[:1])
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(JudgeError, match="cannot start"):
        load_judge("chat:m")


def test_unknown_judges_are_told():
    with pytest.raises(ConfigError, match="there is no judge 'q17'; name nudenet"):
        load_judge("q17")


def test_the_command_judges_a_folder(head, tmp_path):
    for index, pair in enumerate(draw_pairs("mini_nsfw_caps", rows=4)):
        folder = tmp_path / "pictures" / ("a" if index % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        render_image(pair.unsafe).save(folder / f"{index}.png")
    arguments = [
        "judge",
        "--images",
        str(tmp_path / "pictures"),
        "--judge",
        str(head),
        "-o",
        str(tmp_path / "verdicts.json"),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "verdicts.json").read_text())
    assert [item["file"] for item in told["images"]] == ["a/1.png", "a/3.png", "b/0.png", "b/2.png"]
    assert told["unsafe_rate"] == 100 * np.mean([item["unsafe"] for item in told["images"]])
    assert told["judges"] == {"q16-like 7": told["unsafe_rate"]}
