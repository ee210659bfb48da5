import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from safer_clip.errors import ConfigError
from safer_clip.judges import judge_items, load_judge, load_text_judge
from safer_clip.judges.base import JudgeError
from safer_clip.judges.clip_head import ClipHeadJudge
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image

PICTURES = [Image.new("RGB", (8, 8), (shade,) * 3) for shade in (0, 50, 100, 150)]


class Fixed:
    """Scores that are known."""

    version = "1"
    batch_size = 3

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
        found = judge_items(judges(), PICTURES, combination)
        assert found.unsafe.tolist() == [bool(each) for each in unsafe]
        assert found.rate == 25 * sum(unsafe)
        assert found.rates == {"one 1": 50.0, "two 1": 25.0}
        assert found.mean_scores == pytest.approx({"one 1": 30.0, "two 1": 12.5})
        assert found.judges == ("one 1", "two 1")


@given(
    st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)
)
def test_all_is_never_stricter_than_any(left, right):
    def ask(combination):
        return judge_items([Fixed("one", left), Fixed("two", right)], PICTURES, combination).unsafe

    assert (ask("all") <= ask("mean")).all()
    assert (ask("mean") <= ask("any")).all()


def test_what_cannot_be_judged_is_told():
    for wrong, told in (
        (([], PICTURES, "any"), "at least one judge"),
        ((judges(), [], "any"), "one picture or text"),
        (([Fixed("a", []), Fixed("a", [])], PICTURES, "any"), "same name"),
        ((judges(), PICTURES, "most"), "use one of any, all, mean"),
        (([Fixed("a", [], threshold=0)], PICTURES, "any"), "threshold of a must be"),
    ):
        with pytest.raises(ConfigError, match=told):
            judge_items(*wrong)
    for scores in ([0.1], [0.1, 0.2, 0.3, 1.5], [0.1, 0.2, 0.3, float("nan")]):
        with pytest.raises(JudgeError, match="a gave"):
            judge_items([Fixed("a", scores)], PICTURES)


def test_nudenet_finds_nothing_in_harmless_scenes():
    pytest.importorskip("nudenet")
    judge = load_judge("nudenet")
    scenes = [render_image(pair.safe).resize((320, 320)) for pair in draw_pairs("mini_visu", rows=3)]
    found = judge_items([judge], scenes)
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


def test_a_clip_head_tells_unsafe_scenes_from_safe_ones(head):
    judge = load_judge(str(head))
    pairs = draw_pairs("mini_nsfw_caps", rows=190)[150:]
    rates = {kind: judge_items([judge], [render_image(getattr(p, kind)) for p in pairs]).rate for kind in ("safe", "unsafe")}
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


def test_unknown_judges_are_told():
    for name in ("q17", "chat:", "moderation:m"):
        with pytest.raises(ConfigError, match=f"there is no judge '{name}' of pictures; name nudenet"):
            load_judge(name)
    for name in ("nudenet", "opennsfw:x.onnx", "moderation:"):
        with pytest.raises(ConfigError, match=f"there is no judge '{name}' of texts; name the folder of a CLIP head"):
            load_text_judge(name)
