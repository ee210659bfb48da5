"""The settings of a job: one typed object for Python, YAML and the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from safer_clip.curriculum import CurriculumOrder
from safer_clip.data.reading import ColumnMap
from safer_clip.data.tags import Taxonomy
from safer_clip.errors import ConfigError, list_fields
from safer_clip.methods import METHODS, EditMethod, Method, PairingName, build_edit, build_objective, find_method
from safer_clip.models.lora import TOWERS, LoraSettings, Tower

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # 1e-4, which YAML reads as text
Config = TypeVar("Config", bound=BaseModel)
COLUMNS = tuple(ColumnMap.__dataclass_fields__)
Share = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=2)]
Word = Annotated[str, Field(pattern="^[A-Za-z]")]  # of any case and spelling: the method tells which there are; 1e-4 is none


class DataConfig(BaseModel):
    """Which quadruplets to read, and how.

    Attributes:
        data: quadruplets in any format that :func:`~safer_clip.data.read_quadruplets` reads, ``"miniature"``,
            or ``"miniature-v2"``, the same with labels by modality and a training set only.
        image_root: for tables, the folder that picture paths start from.
        coco_root: for ViSU, COCO's folder.
        unsafe_root: for ViSU and NSFW-Caps, the folder of the unsafe pictures.
        columns: the source's names for columns, such as ``{"safe_caption": "text"}``.
        split: of a data set that has several.
        taxonomy: the categories that tags are mapped to, ``"i2p"`` or ``"miniature"``.
        max_bad_rows: rows with problems that may be left out.
        rows: use the first so many rows only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    image_root: Path | None = None
    coco_root: Path | None = None
    unsafe_root: Path | None = None
    columns: dict[str, str] = {}
    split: str | None = None
    taxonomy: Taxonomy = "i2p"
    max_bad_rows: int = Field(default=0, ge=0)
    rows: int | None = Field(default=None, ge=1)

    @field_validator("columns")
    @classmethod
    def _know_columns(cls, given: dict[str, str]) -> dict[str, str]:
        unknown = [name for name in given if name not in COLUMNS]
        if unknown:
            raise ValueError(f"there is no column {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
        return given


class EvaluateConfig(DataConfig):
    """What determines an evaluation, besides the fields of :class:`DataConfig`.

    Attributes:
        model: the folder of the model to measure, or ``"miniature"``.
        base: likewise the pre-trained model to compare with; none if absent.
        zero_shot: folders of classification sets, see :mod:`safer_clip.data.classification`.
        unsafe_pools: manifests of real unsafe items and safe distractors, see :mod:`safer_clip.data.pools`.
        attack: how many quadruplets of each benchmark are attacked.
        seed: of the bootstrap, of the shuffled control and of attacks.
    """

    model: str
    base: str | None = None
    zero_shot: tuple[Path, ...] = ()
    unsafe_pools: tuple[Path, ...] = ()
    attack: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)


class FrontierConfig(DataConfig):
    """What determines a frontier, besides the fields of :class:`DataConfig`.

    Attributes:
        models: folders as ``train`` writes them, with ``adapter/`` inside, all from one base model.
        base: the pre-trained model; by default the one that the first folder's ``training.json`` names.
        strengths: of the adapters; 0 is the base model, 1 the trained one. Text is read as numbers between commas.
        zero_shot: folders of classification sets, see :mod:`safer_clip.data.classification`.
        seed: of what a suite draws.
    """

    models: tuple[Path, ...] = Field(min_length=1)
    base: str | None = None
    strengths: tuple[Strength, ...] = Field(default=(0.0, 0.25, 0.5, 0.75, 1.0, 1.25), min_length=1)
    zero_shot: tuple[Path, ...] = ()
    seed: int = Field(default=0, ge=0)

    @field_validator("strengths", mode="before")
    @classmethod
    def _split_strengths(cls, given: Any) -> Any:
        return [part.strip() for part in given.split(",")] if isinstance(given, str) else given

    @field_validator("strengths")
    @classmethod
    def _sort_strengths(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(given)))


class CompareConfig(DataConfig):
    """What determines a comparison over seeds, besides the fields of :class:`DataConfig`, which tell what to train on.

    Attributes:
        model: the pre-trained model of all runs.
        benchmark: quadruplets to measure on, with the same fields; text is a path or a name.
        output: folder; runs that it holds are not run again.
        seeds: how many, from 0 on.
        zero_shot: folders of classification sets, see :mod:`safer_clip.data.classification`.
        strengths: of each tuned model's weights beyond the pre-trained ones, for its curve.
        attack: how many quadruplets of each benchmark are attacked.
        settings: of methods by their name, such as ``{"safer_clip": {"learning_rate": 1e-4}}``.
        keep_models: keep every tuned model, not only its adapter.
    """

    model: str = "miniature"
    data: str = "miniature"
    benchmark: DataConfig = DataConfig(data="miniature")
    output: Path
    seeds: int = Field(default=3, ge=1)
    zero_shot: tuple[Path, ...] = ()
    strengths: tuple[Strength, ...] = Field(default=(0.0, 0.5, 0.75, 1.0, 1.25), min_length=1)
    attack: int = Field(default=100, ge=0)
    settings: dict[str, dict[str, Any]] = {}
    keep_models: bool = False

    @field_validator("benchmark", mode="before")
    @classmethod
    def _name_benchmark(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, str) else given


class TrainConfig(DataConfig):
    """What determines a training run, besides the fields of :class:`DataConfig`. ``None`` is the method's own choice.

    Attributes:
        model: a folder in the ``transformers`` layout, ``owner/name`` on the hub, or ``"miniature"``.
        method: one of :data:`~safer_clip.methods.METHODS` or :data:`~safer_clip.methods.EDITS`. The latter train nothing,
            and take of the settings below only ``pairing`` and ``objective``.
        output: folder of the tuned model; must be empty or absent, unless a run is resumed.
        seed: of adapters, order and dropout.
        epochs: passes over the data.
        batch_size: quadruplets in one forward of one device.
        accumulation: batches that one optimizer step sums up.
        learning_rate: the highest, after warm-up; a cosine leads to zero.
        warmup: share of the steps in which the learning rate rises.
        weight_decay: of the adapters, by AdamW.
        max_grad_norm: gradients are scaled down to this norm.
        precision: ``"bf16"`` for recent GPUs; on a CPU it is far slower than ``"fp32"``.
        gradient_checkpointing: hold fewer activations and compute them again: less memory, more time.
        max_steps: stop after so many optimizer steps.
        save_every: optimizer steps between checkpoints; 0 for none.
        workers: processes that read pictures.
        towers: encoders to train; the other one stays as it is, and what it says of an item is a target all the same.
        pairing: the safe item that an unsafe one is redirected to: ``"nearest"``, that with the nearest safe caption;
            ``"own"``, its quadruplet's; ``"nearest_image"``, that with the nearest safe image; ``"nearest_both"``, that with
            the largest sum of both cosines; ``"mixture"``, the weighted mean of those with the nearest captions.
        curriculum: share of the pairs in the first epochs; empty for all at once.
        curriculum_order: which pairs come first: ``"easy"``, those closest in caption cosine, or ``"hard"``, the farthest.
        lora: the adapters.
        strength: of what was learned, how much is kept in the end; 1 is all. See ``safer-clip frontier``.
        objective: fields of the method's objective or edit, such as ``{"uni_modal": 2.0}``.
    """

    model: str
    method: str = "safer_clip"
    output: Path

    seed: int = Field(default=0, ge=0)
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)
    accumulation: int = Field(default=1, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    max_steps: int | None = Field(default=None, ge=1)
    save_every: int = Field(default=0, ge=0)
    workers: int = Field(default=0, ge=0)

    towers: tuple[Tower, ...] = Field(default=TOWERS, min_length=1)
    pairing: PairingName | None = None
    curriculum: tuple[Share, ...] | None = None
    curriculum_order: CurriculumOrder = "easy"
    lora: LoraSettings | None = None
    strength: float = Field(default=1.0, gt=0, le=2)
    objective: dict[str, bool | float | Word | tuple[float, ...]] = {}

    @model_validator(mode="before")
    @classmethod
    def _complete_lora(cls, given: Any) -> Any:
        """Put the method's own adapters under the few fields that are given of them."""
        if not isinstance(given, Mapping) or not isinstance(given.get("lora"), Mapping):
            return given
        method = METHODS.get(given.get("method", cls.model_fields["method"].default))
        return {**given, "lora": {**asdict(method.lora), **given["lora"]}} if method else given

    def resolve(self) -> TrainConfig:
        """Fill in the method's own choices, and check what only the method can know.

        Raises:
            ConfigError: there is no such method, its objective has no such field, it takes no settings of training, or what
                is set of a curriculum has none to apply to.
        """
        method = find_method(self.method)
        if isinstance(method, EditMethod):
            build_edit(method, self.objective)
            self._refuse_training(method)
            if self.pairing == "mixture":
                raise ConfigError(f"{method.title} compares an unsafe item with one safe item, so it takes no mixture")
            return self.model_copy(update={"pairing": self.pairing or method.pairing})
        build_objective(method, self.objective)
        chosen = {name: getattr(method, name) for name in _METHOD_CHOICES if getattr(self, name) is None}
        resolved = self.model_copy(update=chosen)
        if resolved.curriculum_order != "easy" and not resolved.curriculum:
            raise ConfigError(f"{method.title} has no curriculum whose order could be turned round; set curriculum as well")
        return resolved

    def describe(self) -> dict[str, Any]:
        """The settings that influence the weights, as plain values; paths are left out."""
        paths = {"model", "data", "output", "image_root", "coco_root", "unsafe_root", "columns", "split", "taxonomy"}
        unused = _OF_TRAINING if isinstance(find_method(self.method), EditMethod) else set()
        return self.model_dump(mode="json", exclude=paths | {"save_every", "workers"} | unused)

    def _refuse_training(self, method: EditMethod) -> None:
        given = [name for name in sorted(_OF_TRAINING) if getattr(self, name) != type(self).model_fields[name].default]
        if given:
            raise ConfigError(f"{method.title} trains nothing, so it takes no {', '.join(given)}")


_METHOD_CHOICES = ("epochs", "batch_size", "learning_rate", "pairing", "curriculum", "lora")
_OF_TRAINING = {
    "epochs",
    "batch_size",
    "accumulation",
    "learning_rate",
    "warmup",
    "weight_decay",
    "max_grad_norm",
    "precision",
    "gradient_checkpointing",
    "max_steps",
    "strength",
    "towers",
    "curriculum",
    "curriculum_order",
    "lora",
}


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> TrainConfig:
    """Read settings from YAML, put the given ones over them, and check all of them together.

    Args:
        path: YAML file with some of :class:`TrainConfig`'s fields; ``None`` for none.
        overrides: fields that win over the file's; ``None`` values do not count.

    Raises:
        ConfigError: lists every field that is unknown, missing or out of range, or says why the file cannot be read.
    """
    settings = read_yaml(path) if path else {}
    return check_settings(TrainConfig, settings | drop_absent(overrides), f" in {path}" if path else "").resolve()


def check_settings(kind: type[Config], settings: Mapping[str, Any], where: str = "") -> Config:
    """Build a configuration, and refuse all wrong fields together.

    Raises:
        ConfigError: lists every field that is unknown, missing or out of range.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        problems = list_fields(error)
        raise ConfigError("\n".join([f"{len(problems)} setting(s){where} cannot be used:", *problems])) from error


def drop_absent(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not ``None``."""
    return {name: value for name, value in settings.items() if value is not None}


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Understand ``name=value`` settings, values as in YAML, nested names with dots: ``objective.uni_modal=2``.

    Raises:
        ConfigError: lists every entry that is not of this form.
    """
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ConfigError(f"expected name=value, got {', '.join(wrong)}")
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, value = pair.split("=", 1)
        *outer, last = name.split(".")
        place = settings
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = _parse_value(value)
    return settings


def _parse_value(text: str) -> Any:
    try:
        return float(text) if _EXPONENT.fullmatch(text.strip()) else yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def method_of(config: TrainConfig) -> Method | EditMethod:
    """The method of a configuration."""
    return find_method(config.method)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} should hold settings, such as 'method: safer_clip'")
    return content
