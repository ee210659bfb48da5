from datetime import datetime
from importlib.metadata import version

from safer_clip import __version__
from safer_clip.environment import describe_context, describe_hardware, describe_versions, usable_cores


def test_versions_are_those_installed(monkeypatch):
    found = describe_versions()
    assert found["safer-clip"] == __version__
    assert found["torch"] == version("torch")
    monkeypatch.setattr("safer_clip.environment.PACKAGES", ("no-such-package",))
    assert describe_versions()["no-such-package"] == "not installed"


def test_hardware_names_what_speed_depends_on():
    found = describe_hardware()
    assert int(found["cores"]) >= 1
    assert int(found["threads"]) >= 1
    assert set(found) >= {"platform", "accelerator"}


def test_unknown_memory_is_left_out(monkeypatch):
    monkeypatch.setattr("safer_clip.environment._memory_gib", lambda: None)
    assert "memory" not in describe_hardware()


def test_the_context_says_when_how_with_what_and_where():
    found = describe_context()
    assert list(found) == ["created", "command", "versions", "hardware"]
    assert datetime.fromisoformat(found["created"]).tzinfo is not None
    assert found["hardware"]["cores"] == str(usable_cores())
