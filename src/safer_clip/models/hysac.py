"""HySAC's published weights as an ordinary CLIP folder with its own similarity (Poppi et al., CVPR 2025).

The authors publish ``hysac_model.pth``, a pickle, and ``hysac_bounds.json``. Nothing is unpickled here: rewrite the weights
once as ``hysac_model.safetensors``, with ``safetensors.torch.save_file(torch.load(path, weights_only=True), target)``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from safer_clip.errors import ConfigError
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.similarity import Lorentz

WEIGHTS = "hysac_model.safetensors"
BOUNDS = "hysac_bounds.json"
SCALARS = ("curv", "visual_alpha", "textual_alpha")
LORA_SCALE = 1 / 16
"""The authors' alpha of 1 over their rank of 16."""
_TOWERS = ("visual.base_model.model.", "textual.base_model.model.")


def load_hysac(folder: Path, base: Path) -> DualEncoder:
    """Merge HySAC's adapters, and give the model its hyperbolic similarity with the published bounds of safe traversal.

    Args:
        folder: with ``hysac_model.safetensors`` and ``hysac_bounds.json``.
        base: folder of the CLIP that it was built on, for configuration, tokenizer and preprocessing.

    Raises:
        ConfigError: a file is missing, or its content is none of HySAC's or does not fit the base model.
    """
    from safetensors.torch import load_file

    missing = [str(folder / name) for name in (WEIGHTS, BOUNDS) if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)}; the authors' .pth has to be rewritten as safetensors once")
    state = load_file(folder / WEIGHTS)
    absent = [name for name in SCALARS if name not in state]
    if absent:
        raise ConfigError(f"{folder / WEIGHTS} is none of HySAC's: it lacks {', '.join(absent)}")
    encoder = DualEncoder.load(base, "cpu")
    weights = merge_weights(state)
    own = encoder.model.state_dict()
    wrong = [name for name, weight in weights.items() if name not in own or own[name].shape != weight.shape]
    wrong += [name for name in own if name not in weights and name != "logit_scale"]
    if wrong:
        raise ConfigError(f"{folder / WEIGHTS} does not fit {base}: {', '.join(wrong[:3])} ({len(wrong)} in all)")
    encoder.model.load_state_dict({**own, **weights})
    return DualEncoder(encoder.model, encoder.tokenizer, encoder.processor, _read_similarity(state, folder / BOUNDS))


def merge_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of ``CLIPModel``, adapters added: ``W + B A / 16``."""
    merged: dict[str, Tensor] = {}
    for name, weight in state.items():
        tower = next((prefix for prefix in _TOWERS if name.startswith(prefix)), None)
        if tower is None or ".lora_" in name or name.endswith("position_ids"):
            continue
        stem = name.replace(".base_layer.weight", "")
        inner, outer = (state.get(f"{stem}.lora_{part}.default.weight") for part in "AB")
        if inner is not None and outer is not None:
            weight = weight + LORA_SCALE * (outer.flatten(1) @ inner.flatten(1)).view_as(weight)  # noqa: PLW2901
        merged[name.removeprefix(tower).replace(".base_layer.", ".")] = weight
    return merged


def _read_similarity(state: Mapping[str, Tensor], path: Path) -> Lorentz:
    try:
        bounds = json.loads(path.read_text(encoding="utf-8"))
        safe = {side: float(bounds[key]["up_95"]) for side, key in (("image_bound", "V"), ("text_bound", "S"))}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} has no bounds of safe texts (S) and images (V), each with up_95: {error}") from error
    curvature, image, text = (math.exp(float(torch.as_tensor(state[name]))) for name in SCALARS)
    return Lorentz(curvature=curvature, text_scale=text, image_scale=image, **safe)
