"""Sharing models and data on the Hugging Face hub, privately unless asked otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    DualEncoder.check(folder)
    if not (folder / CARD_FILE).is_file():
        raise ConfigError(
            f"{folder} has no model card; write one with safer-clip card RESULTS --output {folder / CARD_FILE}"
        )
    return upload_folder(folder, repo, public, "model", SHARED, WITHHELD)


def upload_folder(
    folder: Path, repo: str, public: bool, kind: str, shared: Sequence[str] = ("*",), withheld: Sequence[str] = ()
) -> str:
    """Upload the files of a folder to a repository, which is made if there is none.

    Args:
        folder: to upload.
        repo: ``owner/name``.
        public: make a new repository public.
        kind: ``"model"`` or ``"dataset"``.
        shared: patterns of the files that go along.
        withheld: patterns of those that do not.

    Returns:
        The repository's address.

    Raises:
        ConfigError: the name is none.
        HubError: the hub refused, or cannot be reached.
    """
    from huggingface_hub import HfApi

    if repo.count("/") != 1:
        raise ConfigError(f"expected owner/name, got {repo!r}")
    api = HfApi()
    with _telling_refusals(repo):
        address = api.create_repo(repo, private=not public, exist_ok=True, repo_type=kind)
        api.upload_folder(
            folder_path=folder,
            repo_id=repo,
            repo_type=kind,
            allow_patterns=list(shared),
            ignore_patterns=list(withheld),
            commit_message="Upload with safer-clip",
        )
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
    if not is_repository(repo):
        raise ConfigError(f"expected owner/name, got {repo!r}")
    with _telling_refusals(repo):
        table.push_to_hub(repo, split=split, private=not public, embed_external_files=True)


@contextmanager
def _telling_refusals(repo: str) -> Iterator[None]:
    """Tell what the hub refuses in a sentence on the repository."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"{repo!r} is no name of a repository: {error}") from error
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        raise HubError(f"{repo} was not uploaded: {error}; check `hf auth whoami` and the connection") from error
