import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from safetensors.numpy import save_file

from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image


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


DROP = object()


def word_reply(answer):
    """A whole reply: a dictionary as it is, anything else as what a chat model says."""
    if isinstance(answer, dict):
        return answer
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []}
    if answer is not None:
        message = {"role": "assistant", "content": answer}
        body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return body


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        answer = self.server.answers.pop(0) if self.server.answers else self.server.otherwise(body)
        if answer is DROP:
            self.close_connection = True
            return
        status, answer = answer if isinstance(answer, tuple) else (200, answer)
        reply = word_reply(answer) if status == 200 else {"error": {"message": answer}}
        told = answer if isinstance(answer, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if told.startswith(b"<") else "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A real server that speaks the OpenAI protocol; each request takes the next of `answers`, or else `otherwise`."""
    base_client = pytest.importorskip("openai._base_client")
    monkeypatch.setattr(base_client, "INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.drop = DROP  # as an answer: the connection is closed without one
    server.answers, server.requests, server.otherwise = [], [], lambda body: (400, "nothing is left to say")
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
