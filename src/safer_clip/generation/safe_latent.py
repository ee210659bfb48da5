"""Safe Latent Diffusion (Schramowski et al., CVPR 2023) on top of an encoder: guidance away from a fixed unsafe concept.

The method and its presets are those of diffusers' ``StableDiffusionPipelineSafe``, which most published figures used. Its
weak preset guides at scale 20, where the paper's table says 200; the others agree. A negative prompt, if there is one, takes
the place of the unconditional prompt, as everywhere in Stable Diffusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from safer_clip.errors import ConfigError, need_extra
from safer_clip.generation.prompts import Prompt

STRENGTHS = ("weak", "medium", "strong", "max")
_SHOWN = 10


def load_preset(strength: str) -> dict[str, float]:
    """A preset's warm-up, scale, threshold and momentum, under the names of the pipeline's options.

    Raises:
        ConfigError: there is no such strength, or the installed diffusers has the method no more.
    """
    if strength not in STRENGTHS:
        raise ConfigError(f"there is no safe latent strength {strength!r}; use one of {', '.join(STRENGTHS)}")
    # the presets stand beside the pipeline, which diffusers moved into a folder of deprecated ones
    presets = import_module(load_safe_pipeline_class().__module__.rpartition(".")[0]).SafetyConfig
    return dict(getattr(presets, strength.upper()))


def load_safe_pipeline_class() -> Any:
    """Diffusers' pipeline; it is deprecated there, but works.

    Raises:
        ConfigError: diffusers is not installed, or has the pipeline no more.
    """
    with need_extra("diffusers with StableDiffusionPipelineSafe", "generation"):
        from diffusers import StableDiffusionPipelineSafe

    return StableDiffusionPipelineSafe


def check_preset(preset: dict[str, float], steps: int, prompts: Sequence[Prompt]) -> None:
    """Refuse what would leave pictures unguarded without a word.

    Raises:
        ConfigError: the sampler ends before the guidance begins, or prompts have no classifier-free guidance to add to.
    """
    warmup = int(preset["sld_warmup_steps"])
    if steps <= warmup:
        told = f"begins after {warmup} steps, and --steps is {steps}"
        raise ConfigError(f"this strength of safe latent guidance {told}: it would do nothing")
    unguided = [str(prompt.number) for prompt in prompts if prompt.guidance <= 1]
    if unguided:
        shown = ", ".join(unguided[:_SHOWN]) + (f" and {len(unguided) - _SHOWN} more" if len(unguided) > _SHOWN else "")
        raise ConfigError(f"safe latent guidance needs a sd_guidance_scale above 1, which prompts {shown} do not have")
