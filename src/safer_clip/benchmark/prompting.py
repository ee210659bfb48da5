"""What a chat model is asked, and what counts as an answer.

The prompts are files, in the package's folder ``prompts``; a folder of one's own may replace any of them by its name:
``system.md.j2`` and ``user.md.j2`` (jinja2, with ``caption``, ``language`` and ``categories``) and ``categories.json``, the
finer categories of each of the seven. SafeR-CLIP's and ShieldCLIP's own prompts and ShieldCLIP's list of 28 finer
categories are not published in a form that could be shipped: these are the project's, four to each of I2P's seven.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import jinja2
from pydantic import BaseModel, StringConstraints, ValidationError

from safer_clip.data.tags import I2P_CATEGORIES, normalise_tag
from safer_clip.errors import ConfigError

FILES = ("system.md.j2", "user.md.j2", "categories.json")
REFUSALS = (
    "i can't",
    "i cannot",
    "i can’t",
    "i'm sorry",
    "i’m sorry",
    "i am sorry",
    "sorry,",
    "i'm unable",
    "i am unable",
    "i won't",
    "i will not",
    "i'm not able",
    "as an ai",
    "i must decline",
)
SCHEMA: dict[str, Any] = {
    "name": "rewrite",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {
            "caption": {"type": ["string", "null"]},
            "category": {"type": ["string", "null"], "enum": [*I2P_CATEGORIES, None]},
            "finer": {"type": ["string", "null"]},
            "refused": {"type": "boolean"},
        },
        "required": ["caption", "category", "finer", "refused"],
        "additionalProperties": False,
    },
}
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=600)]


class Answer(BaseModel):
    """A rewrite as the model must tell it."""

    caption: Text
    category: Text
    finer: str | None = None


class RefusedError(Exception):
    """The model declined."""


class MalformedError(Exception):
    """The model's answer is none."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a run.

    Attributes:
        system: what the model is told once.
        user: template of what it is asked.
        categories: the finer categories by category.
        version: digest of all of them.
    """

    system: str
    user: jinja2.Template
    categories: Mapping[str, tuple[str, ...]]
    version: str

    @classmethod
    def load(cls, folder: Path | None, language: str) -> Prompts:
        """Read prompts.

        Args:
            folder: with files that win over the package's.
            language: of the captions.

        Raises:
            ConfigError: a file cannot be read, or does not hold what it must.
        """
        texts = _read_texts(folder)
        categories = _read_categories(texts["categories.json"])
        environment = jinja2.Environment(
            autoescape=False, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        try:
            told = environment.from_string(texts["system.md.j2"]).render(language=language, categories=categories)
            user = environment.from_string(texts["user.md.j2"])
            user.render(caption="a caption", language=language, categories=categories)
        except jinja2.TemplateError as error:
            raise ConfigError(f"a prompt cannot be filled in: {error}") from error
        content = "\0".join([language, *(texts[name] for name in FILES)])
        return cls(told, user, categories, hashlib.blake2b(content.encode(), digest_size=6).hexdigest())

    def ask(self, caption: str, language: str) -> list[dict[str, str]]:
        """The messages about one caption."""
        user = self.user.render(caption=caption, language=language, categories=self.categories)
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]

    def read(self, text: str) -> Answer:
        """Understand an answer; its category is one of the seven, its finer one of the known ones or ``None``.

        Raises:
            RefusedError: the model declined.
            MalformedError: there is no JSON of the right form, or the category is none.
        """
        found = _find_object(text)
        if found is None:
            opening = text.strip().casefold()
            if opening.startswith(REFUSALS):
                raise RefusedError
            raise MalformedError
        if found.get("refused") is True:
            raise RefusedError
        try:
            answer = Answer.model_validate(found)
        except ValidationError as error:
            raise MalformedError from error
        category = normalise_tag(answer.category)
        if category is None:
            raise MalformedError
        known = {each.casefold(): each for each in self.categories[category]}
        finer = known.get((answer.finer or "").strip().casefold())
        return Answer(caption=" ".join(answer.caption.split()), category=category, finer=finer)


def _find_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text, which may stand in a fence or among words."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _read_texts(folder: Path | None) -> dict[str, str]:
    own = {path.name: path for path in folder.iterdir()} if folder and folder.is_dir() else {}
    if folder and not set(own) & set(FILES):
        raise ConfigError(f"{folder} holds no prompt; there are {', '.join(FILES)}")
    packaged = resources.files("safer_clip.benchmark").joinpath("prompts")
    return {name: (own[name] if name in own else packaged.joinpath(name)).read_text(encoding="utf-8") for name in FILES}


def _read_categories(text: str) -> dict[str, tuple[str, ...]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"categories.json is not JSON: {error}") from error
    sound = isinstance(found, dict) and set(found) == set(I2P_CATEGORIES)
    if not sound or not all(
        isinstance(finer, list) and all(isinstance(each, str) for each in finer) for finer in found.values()
    ):
        raise ConfigError(f"categories.json must give a list of finer categories for each of {', '.join(I2P_CATEGORIES)}")
    return {category: tuple(found[category]) for category in I2P_CATEGORIES}
