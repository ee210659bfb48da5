"""Where a model comes from: a local folder, the miniature, or the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from safer_clip.errors import ConfigError, SaferClipError

WANTED_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""What is fetched of a repository: pickled weights are never read, and so never fetched."""


class DownloadError(SaferClipError):
    """The hub did not give the model."""


def locate_model(model: str) -> Path:
    """The local folder of a model, fetched from the hub first if its name is a repository's.

    Args:
        model: a folder, ``"miniature"``, or ``owner/name``; the hub's own cache and offline switch apply.

    Raises:
        ConfigError: there is no such folder, and the name is no repository's.
        DownloadError: the hub has no such repository, or cannot be reached.
    """
    if model == "miniature":
        from safer_clip.miniature import model_folder

        return model_folder()
    folder = Path(model)
    if folder.is_dir():
        return folder
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ConfigError(f"there is no model folder {model}; name a folder, owner/name on the hub, or miniature")
    return _fetch(model)


def _fetch(repo: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, allow_patterns=list(WANTED_FILES)))
    except HFValidationError as error:
        raise ConfigError(f"there is no folder {repo}, and it is no name of a repository: {error}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DownloadError(f"there is no folder {repo}, and the hub did not give it: {told}") from error
