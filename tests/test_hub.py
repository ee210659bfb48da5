import pytest
from datasets import Dataset
from huggingface_hub import HfApi
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError
from safer_clip.hub import HubError, push_model, push_table
from safer_clip.miniature import load_split


@pytest.fixture
def folder(encoder, tmp_path):
    encoder.save(tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("# a card\n")
    (tmp_path / "out" / "reference").mkdir()
    (tmp_path / "out" / "reference" / "manifest.json").write_text("{}")
    (tmp_path / "out" / "run.json").write_text("{}")
    return tmp_path / "out"


@pytest.fixture
def hub(monkeypatch):
    """What the hub was asked for."""
    calls: dict[str, dict[str, object]] = {}
    monkeypatch.setattr(
        HfApi, "create_repo", lambda _, repo, **rest: calls.update(create={"repo": repo, **rest}) or f"https://hub/{repo}"
    )
    monkeypatch.setattr(HfApi, "upload_folder", lambda _, **rest: calls.update(upload=rest))
    return calls


def test_it_is_private_unless_asked_otherwise(folder, hub):
    assert push_model(folder, "me/safer") == "https://hub/me/safer"
    assert hub["create"]["private"] is True
    push_model(folder, "me/safer", public=True)
    assert hub["create"]["private"] is False


def test_training_data_and_local_paths_stay_at_home(folder, hub):
    from huggingface_hub.utils import filter_repo_objects

    push_model(folder, "me/safer")
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    asked = hub["upload"]
    sent = set(filter_repo_objects(files, allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"]))
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= sent
    assert not {"run.json", "reference/manifest.json"} & sent


def test_what_cannot_be_pushed_is_told(folder, hub, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no model folder"):
        push_model(tmp_path, "me/safer")
    with pytest.raises(ConfigError, match="owner/name"):
        push_model(folder, "safer")
    (folder / "README.md").unlink()
    with pytest.raises(ConfigError, match="safer-clip card"):
        push_model(folder, "me/safer")
    (folder / "README.md").write_text("# a card\n")

    def fail(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(HfApi, "upload_folder", fail)
    with pytest.raises(HubError, match="not uploaded: no route"):
        push_model(folder, "me/safer")


def test_the_command(folder, hub):
    done = CliRunner().invoke(app, ["push", "--model", str(folder), "--repo", "me/safer"])
    assert done.exit_code == 0, done.output
    assert "https://hub/me/safer" in done.output


@pytest.fixture
def uploads(monkeypatch):
    calls = []
    monkeypatch.setattr(Dataset, "push_to_hub", lambda table, repo, **rest: calls.append((len(table), repo, rest)))
    return calls


def test_quadruplets_are_uploaded_with_their_pictures(uploads, tmp_path):
    load_split("mini_nsfw_caps", rows=3).save_to_disk(tmp_path / "data")
    command = ["push-data", "--data", str(tmp_path / "data"), "--repo", "me/caps", "--set", "split=test"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert uploads == [(3, "me/caps", {"split": "test", "private": True, "embed_external_files": True})]


def test_data_that_cannot_be_pushed(uploads, monkeypatch):
    table = load_split("mini_nsfw_caps", rows=2)
    with pytest.raises(ConfigError, match="owner/name"):
        push_table(table, "caps")

    def fail(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(Dataset, "push_to_hub", fail)
    with pytest.raises(HubError, match="no route"):
        push_table(table, "me/caps")
