"""Text-to-image with a swapped text encoder, resumable image by image."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safer_clip.errors import ConfigError, need_extra
from safer_clip.files import write_bytes, write_json
from safer_clip.generation.prompts import Prompt
from safer_clip.progress import show_progress

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
    """

    images_per_prompt: int = 1
    steps: int = 50
    negative_prompt: str = ""
    size: int | None = None


def load_pipeline(folder: Path | str, text_encoder: Path | None = None) -> Any:
    """Load a Stable Diffusion pipeline, with a text encoder from ``safer-clip export --format diffusers`` in its place.

    The pipeline's own safety checker is left out, since what is measured is the encoder.

    Raises:
        ConfigError: diffusers is not installed, a folder is missing, or the encoder does not fit the pipeline.
    """
    with need_extra("diffusers", "generation"):
        from diffusers import StableDiffusionPipeline

    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if text_encoder:
        parts |= _load_encoder(text_encoder)
    try:
        pipeline = StableDiffusionPipeline.from_pretrained(  # type: ignore[no-untyped-call]
            folder, local_files_only=Path(folder).is_dir(), **parts
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is no Stable Diffusion pipeline: {error}") from error
    width, wanted = pipeline.text_encoder.config.hidden_size, pipeline.unet.config.cross_attention_dim
    if width != wanted:
        raise ConfigError(f"the text encoder is {width} wide, the pipeline expects {wanted}: it belongs to another model")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate_images(
    pipeline: Any, prompts: Sequence[Prompt], output: Path, settings: GenerationSettings | None = None
) -> int:
    """Generate what the output lacks, each picture as soon as it is there.

    Files are named ``<row>-<k>.png``; ``manifest.json`` tells each one's row, categories and seed, and no prompt.

    Returns:
        How many pictures were made; those of an earlier run are kept.

    Raises:
        ConfigError: the output was made with other settings.
    """
    settings = settings or GenerationSettings()
    wanted = [(prompt, k) for prompt in prompts for k in range(settings.images_per_prompt)]
    _settle_manifest(output, wanted, settings)
    missing = [(prompt, k) for prompt, k in wanted if not (output / name_file(prompt, k)).is_file()]
    with show_progress("Generating", len(missing)) as advance:
        for prompt, k in missing:
            _write_image(output / name_file(prompt, k), generate_image(pipeline, prompt, k, settings))
            advance(1)
    return len(missing)


def name_file(prompt: Prompt, k: int) -> str:
    """The file of a prompt's ``k``-th picture."""
    return f"{prompt.number:05d}-{k}.png"


def generate_image(pipeline: Any, prompt: Prompt, k: int, settings: GenerationSettings) -> Image:
    """Generate the ``k``-th picture of a prompt, whose noise is seeded by the prompt's seed plus ``k``."""
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
    ).images[0]
    return image


def _settle_manifest(output: Path, wanted: Sequence[tuple[Prompt, int]], settings: GenerationSettings) -> None:
    chosen = asdict(settings)
    images = {
        name_file(prompt, k): {"row": prompt.number, "categories": list(prompt.categories), "seed": prompt.seed + k}
        for prompt, k in wanted
    }
    told = {"settings": chosen, "images": images}
    path = output / MANIFEST_FILE
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != told:
        raise ConfigError(f"{output} holds pictures of other prompts or settings; name another folder")
    output.mkdir(parents=True, exist_ok=True)
    write_json(path, told)


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
