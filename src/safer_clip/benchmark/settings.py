"""The settings of a benchmark: what one folder was built with, and what of it may still change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Choice = Literal["seeded", "longest", "first"]


class Settings(BaseModel):
    """Immutable settings that refuse unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Settings):
    """Which captions to start from.

    Attributes:
        data: captioned pictures in any format of :mod:`safer_clip.benchmark.sources`, or ``"miniature"``.
        image_root: folder that picture paths start from; the table's own by default.
        caption_column: of tables.
        image_column: of tables.
        captions: how many pictures to take, drawn by the seed; all if absent. The miniature needs a number.
        choice: which of a picture's captions: drawn by the seed, the longest or the first.
        min_words: fewest words of a caption.
        max_words: most words of a caption.
        language: two letters; see :mod:`safer_clip.benchmark.language`.
        words: folder with word lists that win over the package's; see :mod:`safer_clip.benchmark.refusals`.
        near_duplicate: captions at least as similar as this to an earlier one are dropped (cosine of the encoder).
    """

    data: str
    image_root: Path | None = None
    caption_column: str = "caption"
    image_column: str = "image"
    captions: int | None = Field(default=None, ge=1)
    choice: Choice = "seeded"
    min_words: int = Field(default=3, ge=1)
    max_words: int = Field(default=40, ge=1)
    language: str = "en"
    words: Path | None = None
    near_duplicate: Share = 0.97


class RewriterSettings(Settings):
    """Who writes the unsafe variants.

    Attributes:
        name: ``"offline"`` (the miniature only), or ``"chat:MODEL"`` with an optional ``@URL`` of the endpoint.
        prompts: folder with prompt files that win over the package's.
        temperature: of the model.
        max_tokens: of one answer.
        structured: how the endpoint is asked for JSON: by its schema, as any object, or by the prompt alone; servers differ.
        answers: whole answers that one caption may cost, malformed ones included.
        retries: further requests after one that brought no answer: 429, 5xx, a broken connection.
        timeout: seconds to wait for one answer.
        concurrency: requests in flight.
        requests_per_minute: the endpoint's limit, if it is known.
        tokens_per_minute: likewise, prompt and completion together.
        prompt_price: of a million tokens, in the currency that stats shall tell.
        completion_price: likewise.
    """

    name: str
    prompts: Path | None = None
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=300, ge=1)
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    answers: int = Field(default=3, ge=1)
    retries: int = Field(default=8, ge=0)
    timeout: float = Field(default=60.0, gt=0)
    concurrency: int = Field(default=8, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    prompt_price: float = Field(default=0.0, ge=0)
    completion_price: float = Field(default=0.0, ge=0)


class PictureSettings(Settings):
    """Where unsafe pictures come from.

    Attributes:
        generator: ``"miniature"``, ``"diffusers:FOLDER"``, ``"folder:PATH"`` with pictures of your own, or ``"none"`` for a
            benchmark of captions.
        seeds: pictures made for a caption, of which the best is kept.
        steps: of a diffusion sampler.
        guidance: scale of classifier-free guidance.
        size: side in pixels; the pipeline's own if absent.
    """

    generator: str
    seeds: int = Field(default=2, ge=1)
    steps: int = Field(default=50, ge=1)
    guidance: float = Field(default=7.5, ge=0)
    size: int | None = Field(default=None, ge=8)


class Thresholds(Settings):
    """What a pair must fulfil; may be changed at any time, since measures are kept.

    Attributes:
        floor: lowest cosine of the two captions.
        ceiling: highest; above it the captions hardly differ.
        kept_tokens: least share of the safe caption's words that the unsafe one keeps, in order.
        safe_text: highest score of the safe caption; a score of 1 is where the judge calls a text unsafe, of several judges
            the highest counts.
        unsafe_text: lowest score of the unsafe caption.
        safe_image: highest score of the safe picture.
        unsafe_image: lowest score of the unsafe picture.
        min_words: fewest words of the unsafe caption.
        max_words: most words of the unsafe caption.
    """

    floor: float = Field(default=0.5, ge=-1, le=1)
    ceiling: float = Field(default=0.995, ge=-1, le=1)
    kept_tokens: Share = 0.5
    safe_text: float = Field(default=1.0, ge=0)
    unsafe_text: float = Field(default=1.0, ge=0)
    safe_image: float = Field(default=1.0, ge=0)
    unsafe_image: float = Field(default=1.0, ge=0)
    min_words: int = Field(default=3, ge=1)
    max_words: int = Field(default=60, ge=1)


class SelectionSettings(Settings):
    """Which of the good pairs make the benchmark.

    Attributes:
        size: how many, if there are so many.
        balanced: as many of each category as possible.
        target: mean cosine of the captions to reach, by taking closer pairs where needed; none if absent.
    """

    size: int = Field(default=1000, ge=1)
    balanced: bool = True
    target: float | None = Field(default=None, ge=-1, le=1)


class LeakageSettings(Settings):
    """What the benchmark must not share pairs with.

    Attributes:
        training: quadruplets that a model was or will be trained on, or ``"miniature"``; none for no check.
        near_duplicate: captions and pictures at least as similar as this (cosine) have leaked.
        pictures: compare the safe pictures too, where both have them.
    """

    training: str | None = None
    near_duplicate: Share = 0.97
    pictures: bool = False


class BuildSettings(Settings):
    """All settings of a benchmark.

    Attributes:
        source: which captions to start from.
        rewriter: who writes the unsafe variants.
        encoder: model folder, name on the hub, or ``"miniature"``, whose cosines all similarities are.
        text_judges: judges of captions, as :func:`~safer_clip.judges.load_text_judge` names them, or ``"miniature"``.
        image_judges: judges of pictures, likewise of :func:`~safer_clip.judges.load_judge`.
        pictures: where unsafe pictures come from.
        thresholds: what a pair must fulfil.
        selection: which pairs to take.
        leakage: what to compare with.
        loose: quadruplets whose caption similarity is reported beside the benchmark's, such as ViSU, or ``"miniature"``.
        seed: of every choice.
    """

    source: SourceSettings
    rewriter: RewriterSettings
    encoder: str = "openai/clip-vit-large-patch14"
    text_judges: tuple[str, ...]
    image_judges: tuple[str, ...]
    pictures: PictureSettings
    thresholds: Thresholds = Thresholds()
    selection: SelectionSettings = SelectionSettings()
    leakage: LeakageSettings = LeakageSettings()
    loose: str | None = None
    seed: int = Field(default=0, ge=0)

    def describe_fixed(self) -> dict[str, Any]:
        """The settings that earlier work hangs on, by dotted name: they cannot change in a folder."""
        told = _flatten(self.model_dump(mode="json"))
        return {name: value for name, value in told.items() if not name.startswith(FREE)}


FREE = (
    "thresholds.",
    "selection.",
    "leakage.",
    "loose",
    *(
        f"rewriter.{name}"
        for name in ("retries", "timeout", "concurrency", "requests_per", "tokens_per", "prompt_price", "completion_price")
    ),
)
"""Names, or their beginnings, of what may change in a folder: no earlier work hangs on it."""

MINIATURE: dict[str, Any] = {
    "source": {"near_duplicate": 0.985},
    "encoder": "miniature",
    "text_judges": ["miniature"],
    "image_judges": ["miniature"],
    "pictures": {"generator": "miniature"},
    "leakage": {"training": "miniature", "near_duplicate": 0.99},
    "loose": "miniature",
}
"""What is left unsaid where the source is the miniature."""


def merge_settings(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings over others, group by group."""
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = merge_settings(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        flat |= _flatten(value, f"{key}.") if isinstance(value, Mapping) else {key: value}
    return flat
