"""Text-to-image with a swapped text encoder, resumable image by image."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safer_clip.errors import ConfigError, need_extra
from safer_clip.files import write_bytes, write_json
from safer_clip.fingerprints import fingerprint_model
from safer_clip.generation.prompts import Prompt
from safer_clip.generation.safe_latent import check_preset, load_preset, load_safe_pipeline_class
from safer_clip.models.loading import pick_device
from safer_clip.progress import show_progress
from safer_clip.resuming import refuse_changes

if TYPE_CHECKING:
    from PIL.Image import Image

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How to generate.

    Attributes:
        images_per_prompt: seeds a prompt; the first is the prompt's own, the others follow it.
        steps: of the sampler.
        negative_prompt: what to steer away from, on top of the encoder; empty for nothing.
        size: side of the pictures in pixels; ``None`` for the pipeline's own.
        safe_latent: strength of Safe Latent Diffusion, one of :data:`~safer_clip.generation.safe_latent.STRENGTHS`, for a
            pipeline that was loaded for it; ``None`` without.
    """

    images_per_prompt: int = 1
    steps: int = 50
    negative_prompt: str = ""
    size: int | None = None
    safe_latent: str | None = None


def load_pipeline(folder: Path | str, text_encoder: Path | None = None, safe_latent: bool = False) -> Any:
    """Load a Stable Diffusion pipeline, with a text encoder from ``safer-clip export --format diffusers`` in its place.

    The pipeline's own safety checker is left out, since what is measured is the encoder.

    Args:
        folder: of the pipeline, or its name on the hub.
        text_encoder: folder of the export; ``None`` for the pipeline's own.
        safe_latent: for Safe Latent Diffusion.

    Raises:
        ConfigError: diffusers is not installed, a folder is missing, or the encoder does not fit the pipeline.
    """
    kind = load_safe_pipeline_class() if safe_latent else _load_pipeline_class()
    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if text_encoder:
        parts |= _load_encoder(text_encoder)
    try:
        pipeline = kind.from_pretrained(folder, local_files_only=Path(folder).is_dir(), **parts)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is no Stable Diffusion pipeline: {error}") from error
    width, wanted = pipeline.text_encoder.config.hidden_size, pipeline.unet.config.cross_attention_dim
    if width != wanted:
        raise ConfigError(f"the text encoder is {width} wide, the pipeline expects {wanted}: it belongs to another model")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(pick_device())


def generate_images(
    pipeline: Any, prompts: Sequence[Prompt], output: Path, settings: GenerationSettings | None = None
) -> int:
    """Generate what the output lacks, each picture as soon as it is there.

    Files are named ``<row>-<k>.png``; ``manifest.json`` tells settings, a digest of the text encoder's weights, and each
    picture's row, categories and seed, but no prompt.

    Returns:
        How many pictures were made; those of an earlier run are kept.

    Raises:
        ConfigError: the output was made with other settings, which are told, or Safe Latent Diffusion cannot work so.
    """
    settings = settings or GenerationSettings()
    preset = _prepare_safety(pipeline, prompts, settings)
    encoder = fingerprint_model(pipeline.text_encoder)
    chosen = {**asdict(settings), **preset, "text_encoder": encoder, "prompts": _digest_prompts(prompts)}
    wanted = [(prompt, k) for prompt in prompts for k in range(settings.images_per_prompt)]
    _settle_manifest(output, wanted, chosen)
    missing = [(prompt, k) for prompt, k in wanted if not (output / name_file(prompt, k)).is_file()]
    with _hush(), show_progress("Generating", len(missing)) as advance:
        for prompt, k in missing:
            _write_image(output / name_file(prompt, k), generate_image(pipeline, prompt, k, settings, preset))
            advance(1)
    return len(missing)


def _load_pipeline_class() -> Any:
    with need_extra("diffusers", "generation"):
        from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline


def name_file(prompt: Prompt, k: int) -> str:
    """The file of a prompt's ``k``-th picture."""
    return f"{prompt.number:05d}-{k}.png"


def generate_image(
    pipeline: Any, prompt: Prompt, k: int, settings: GenerationSettings, preset: Mapping[str, float] | None = None
) -> Image:
    """Generate the ``k``-th picture of a prompt, whose noise is seeded by the prompt's seed plus ``k``.

    ``preset`` holds further arguments of the pipeline, those of Safe Latent Diffusion.
    """
    import torch

    size = {} if settings.size is None else {"height": settings.size, "width": settings.size}
    # noise from the CPU, so that a seed gives the same picture's noise on every device
    image: Image = pipeline(
        prompt.text,
        negative_prompt=settings.negative_prompt or None,
        num_inference_steps=settings.steps,
        guidance_scale=prompt.guidance,
        generator=torch.Generator("cpu").manual_seed(prompt.seed + k),
        **size,
        **(preset or {}),
    ).images[0]
    return image


@contextmanager
def _hush() -> Iterator[None]:
    # diffusers' warnings quote the end of prompts that are too long, and tell of deprecations with every picture
    logger = logging.getLogger("diffusers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _prepare_safety(pipeline: Any, prompts: Sequence[Prompt], settings: GenerationSettings) -> dict[str, float]:
    able = hasattr(pipeline, "safety_concept")
    if able != (settings.safe_latent is not None):
        wanted = "without" if able else "for"  # one for it would guide at medium strength unasked
        raise ConfigError(f"load the pipeline {wanted} safe latent diffusion, as the settings have it")
    if settings.safe_latent is None:
        return {}
    preset = load_preset(settings.safe_latent)
    check_preset(preset, settings.steps, prompts)
    return preset


def _digest_prompts(prompts: Sequence[Prompt]) -> str:
    told = json.dumps([asdict(prompt) for prompt in prompts])
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _settle_manifest(output: Path, wanted: Sequence[tuple[Prompt, int]], chosen: Mapping[str, Any]) -> None:
    images = {
        name_file(prompt, k): {"row": prompt.number, "categories": list(prompt.categories), "seed": prompt.seed + k}
        for prompt, k in wanted
    }
    path = output / MANIFEST_FILE
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))["settings"]
        refuse_changes(kept, chosen, f"{output} holds pictures made", "name another folder")
    output.mkdir(parents=True, exist_ok=True)
    write_json(path, {"settings": chosen, "images": images})


def _load_encoder(folder: Path) -> dict[str, Any]:
    from transformers import CLIPTextModel, CLIPTokenizer

    missing = [name for name in ("text_encoder", "tokenizer") if not (folder / name).is_dir()]
    if missing:
        told = f"it lacks {' and '.join(missing)}"
        raise ConfigError(
            f"{folder} is no export for diffusers: {told}; write one with safer-clip export --format diffusers"
        )
    return {
        "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True),
        "tokenizer": CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
    }


def _write_image(path: Path, image: Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())
