import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image
from stand_ins import serve_openai


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


@pytest.fixture
def server(monkeypatch):
    """A real server that speaks the OpenAI protocol, and a client that does not wait long before it asks again."""
    base_client = pytest.importorskip("openai._base_client")
    monkeypatch.setattr(base_client, "INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serve_openai() as server:
        yield server
