import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVER = Path(__file__).parent / "openai_server.py"


class Endpoint:
    """A running server: its address, and what it saw."""

    def __init__(self, port, log):
        self.url, self.log = f"http://127.0.0.1:{port}/v1", log

    @property
    def rewriter(self):
        return f"chat:stand-in@{self.url}"

    def events(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start misbehaving servers, each in a process of its own."""
    monkeypatch.setenv("OPENAI_API_KEY", "none is needed here")

    @contextmanager
    def start(**options):
        log = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}.jsonl"
        flags = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()]
        process = subprocess.Popen([sys.executable, str(SERVER), f"--log={log}", *flags], stdout=subprocess.PIPE, text=True)
        try:
            yield Endpoint(int(process.stdout.readline()), log)
        finally:
            process.kill()
            process.wait()

    return start
