import pytest

from safer_clip.errors import ConfigError
from safer_clip.miniature import model_folder
from safer_clip.models.sources import DownloadError, locate_model
from safer_clip.tuning import load_encoder


def test_folders_and_the_miniature_are_where_they_are(tmp_path):
    assert locate_model(str(tmp_path)) == tmp_path
    assert locate_model("miniature") == model_folder()


def test_repositories_are_fetched_without_pickles(monkeypatch, encoder, tmp_path):
    encoder.save(tmp_path)
    asked: dict[str, object] = {}
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda repo, **rest: asked.update(repo=repo, **rest) or str(tmp_path)
    )
    assert load_encoder("openai/clip-vit-large-patch14").encode_texts(["a dog"]).shape == (1, 128)
    assert asked["repo"] == "openai/clip-vit-large-patch14"
    assert not any("bin" in pattern for pattern in asked["allow_patterns"])


@pytest.mark.parametrize("name", ["./none/here", "none", "/none/here", "a/b/c"])
def test_what_is_neither_folder_nor_repository_is_told(name):
    with pytest.raises(ConfigError, match="there is no model folder"):
        locate_model(name)


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route to host\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(DownloadError, match=r"the hub did not give it: no route to host$"):
        locate_model("some/model")


def test_a_name_that_the_hub_refuses_is_told():
    with pytest.raises(ConfigError, match="no name of a repository"):
        locate_model("some/mo del")
