"""Sharing models and data on the Hugging Face hub, privately unless asked otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safer_clip.data.repositories import is_repository
from safer_clip.errors import ConfigError, SaferClipError
from safer_clip.models.dual_encoder import DualEncoder

if TYPE_CHECKING:
    from datasets import Dataset

CARD_FILE = "README.md"
SHARED = ("*.json", "*.safetensors", "*.txt", "*.model", CARD_FILE)
WITHHELD = ("checkpoints/*", "reference/*", "run.json", "training.json")
"""Left at home: checkpoints, embeddings of the training data, and files that name local paths."""


class HubError(SaferClipError):
    """The hub did not take what was sent."""


def push_model(folder: Path, repo: str, public: bool = False) -> str:
    """Upload a model folder with its card.

    Args:
        folder: as ``safer-clip train`` writes it, with a card in ``README.md``.
        repo: ``owner/name``.
        public: make the repository public; it is private otherwise, and an existing one stays as it is.

    Returns:
        The repository's address.

    Raises:
        ConfigError: the folder is no model, has no card, or the name is none.
        HubError: the hub refused, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    DualEncoder.check(folder)
    if not (folder / CARD_FILE).is_file():
        raise ConfigError(
            f"{folder} has no model card; write one with safer-clip card RESULTS --output {folder / CARD_FILE}"
        )
    if repo.count("/") != 1:
        raise ConfigError(f"expected owner/name, got {repo!r}")
    api = HfApi()
    try:
        address = api.create_repo(repo, private=not public, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repo,
            allow_patterns=list(SHARED),
            ignore_patterns=list(WITHHELD),
            commit_message="Upload with safer-clip",
        )
    except HFValidationError as error:
        raise ConfigError(f"{repo!r} is no name of a repository: {error}") from error
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        raise HubError(f"{repo} was not uploaded: {error}; check `hf auth whoami` and the connection") from error
    return str(address)


def push_table(table: Dataset, repo: str, split: str = "train", public: bool = False) -> None:
    """Upload a table of quadruplets, pictures included, as a split of a repository of data.

    Args:
        table: quadruplets.
        repo: ``owner/name``.
        split: under which name.
        public: make the repository public; it is private otherwise, and an existing one stays as it is.

    Raises:
        ConfigError: the name is none.
        HubError: the hub refused, or cannot be reached.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    if not is_repository(repo):
        raise ConfigError(f"expected owner/name, got {repo!r}")
    try:
        table.push_to_hub(repo, split=split, private=not public, embed_external_files=True)
    except HFValidationError as error:
        raise ConfigError(f"{repo!r} is no name of a repository: {error}") from error
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        raise HubError(f"{repo} was not uploaded: {error}; check `hf auth whoami` and the connection") from error
