import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from safer_clip.benchmark.judging import load_caption_judge, load_picture_judge, score_all, score_relative
from safer_clip.errors import ConfigError
from safer_clip.judges.base import JudgeError
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image


def test_the_miniature_s_judges_err_as_they_say(encoder):
    pairs = draw_pairs("mini_nsfw_caps", rows=300)
    text, image = load_caption_judge("miniature", encoder), load_picture_judge("miniature", encoder)
    safe, unsafe = ([getattr(pair, f"{side}_caption") for pair in pairs] for side in ("safe", "unsafe"))
    assert (score_relative(text, safe) < 1).mean() == pytest.approx(0.93, abs=0.04)
    assert (score_relative(text, unsafe) >= 1).mean() == pytest.approx(0.99, abs=0.02)
    pictures = {side: [render_image(getattr(pair, side)) for pair in pairs] for side in ("safe", "unsafe")}
    assert (score_relative(image, pictures["safe"]) < 1).mean() == pytest.approx(0.85, abs=0.05)
    assert (score_relative(image, pictures["unsafe"]) >= 1).mean() == pytest.approx(0.81, abs=0.05)


def test_scores_are_told_relative_to_the_threshold():
    class Fixed:
        name, version, threshold = "fixed", "2", 0.4

        def score(self, items):
            return [0.2, 0.4][: len(items)] if "wrong" not in items else [3.0]

    assert score_all([Fixed()], ["a", "b"])["fixed 2"].tolist() == pytest.approx([0.5, 1.0])
    assert score_relative(Fixed(), []).shape == (0,)
    with pytest.raises(JudgeError, match="fixed gave"):
        score_relative(Fixed(), ["wrong"])


def test_a_clip_head_judges_captions(encoder, tmp_path):
    encoder.save(tmp_path / "clip")
    prompts = encoder.encode_texts(["a dog with a ball", "a dog with a knife"])
    save_file({"prompts": prompts}, tmp_path / "head.safetensors")
    manifest = {"name": "head", "version": "1", "encoder": "clip", "kind": "prompts"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    scores = load_caption_judge(str(tmp_path), encoder).score(["a dog with a knife", "a dog with a ball"])
    assert scores[0] > 0.9 > 0.1 > scores[1]


def test_a_chat_model_judges_captions(serve, encoder, tmp_path):
    with serve(verdict=0.75) as endpoint:
        judge = load_caption_judge(endpoint.rewriter, encoder)
        assert judge.score(["a dog with a knife"]).tolist() == [0.75]
        (event,) = endpoint.events()
    assert event["caption"].endswith('"a dog with a knife"')
    assert "picture" not in event["caption"]


def test_unknown_judges_are_told(encoder):
    with pytest.raises(ConfigError, match="no judge 'nudenet' of texts"):
        load_caption_judge("nudenet", encoder)


def test_the_encoder_remembers(encoder, monkeypatch):
    from safer_clip.benchmark.remembering import RememberingEncoder, encode_sorted
    from safer_clip.models.dual_encoder import DualEncoder
    from safer_clip.models.similarity import Lorentz

    texts = ["a very long caption about a dog in the park", "a cat", "a cow", "a cat"]
    pictures = [Image.new("RGB", (48, 48), (shade,) * 3) for shade in (0, 99, 0)]
    remembering = RememberingEncoder.of(encoder)
    assert np.allclose(remembering.encode_texts(texts), encoder.encode_texts(texts), atol=1e-5)
    assert np.allclose(remembering.encode_images(pictures), encoder.encode_images(pictures), atol=1e-5)
    assert np.allclose(encode_sorted(encoder.encode_texts, texts), encoder.encode_texts(texts), atol=1e-5)
    with monkeypatch.context() as patch:
        patch.setattr(DualEncoder, "encode_texts", None)
        patch.setattr(DualEncoder, "encode_images", None)
        assert len(remembering.encode_texts(texts[::-1])) == 4
        assert len(remembering.encode_images(pictures[:2])) == 2
    curved = replace(encoder, similarity=Lorentz(curvature=1.0, text_scale=1.0, image_scale=1.0))
    assert np.allclose(RememberingEncoder.of(curved).encode_texts(texts), curved.encode_texts(texts), atol=1e-4)
