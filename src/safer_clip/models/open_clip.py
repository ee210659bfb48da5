"""open_clip's names and configuration for a plain CLIP, and the way back to ``transformers``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from safer_clip.errors import ConfigError
from safer_clip.models.dual_encoder import DualEncoder

if TYPE_CHECKING:
    from transformers import CLIPConfig

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
_RESAMPLING = {2: "bilinear", 3: "bicubic"}
_SINGLE = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
}
_NORMS = {
    "ln_final": "text_model.final_layer_norm",
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
}
_LAYER = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_TOWERS = {"transformer": "text_model", "visual.transformer": "vision_model"}


def load_open_clip(folder: Path, tokenizer: Path | None = None) -> DualEncoder:
    """Load an open_clip folder as a ``transformers`` CLIP; open_clip itself is not needed.

    Args:
        folder: holds ``open_clip_config.json`` and ``open_clip_model.safetensors``, as on the hub.
        tokenizer: folder of the tokenizer, if not this one; for OpenAI's vocabulary any CLIP's will do.

    Raises:
        ConfigError: files are missing, or the model is no plain CLIP; lists everything that is in the way.
    """
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    home = tokenizer or folder
    paths = (folder / CONFIG, folder / WEIGHTS, home / "tokenizer.json")
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)}")
    told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    words = CLIPTokenizer.from_pretrained(home, local_files_only=True)
    model = CLIPModel(_read_config(told["model_cfg"], words)).train(False)
    model.load_state_dict(restore_weights(load_file(folder / WEIGHTS)), strict=True)
    preprocessing, size = told.get("preprocess_cfg", {}), told["model_cfg"]["vision_cfg"]["image_size"]
    resampling = {name: number for number, name in _RESAMPLING.items()}[preprocessing.get("interpolation", "bicubic")]
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        resample=resampling,
        **({"image_mean": preprocessing["mean"], "image_std": preprocessing["std"]} if "mean" in preprocessing else {}),
    )
    return DualEncoder(model, words, processor)


def _read_config(told: Mapping[str, Any], tokenizer: Any) -> CLIPConfig:
    from transformers import CLIPConfig

    text, vision = told["text_cfg"], told["vision_cfg"]
    foreign = [name for name in ("hf_model_name",) if text.get(name)]
    foreign += [name for name in ("timm_model_name", "attentional_pool", "no_ln_pre") if vision.get(name)]
    if text.get("pool_type", "argmax") not in ("argmax", "eos"):
        foreign.append(f"pool_type {text['pool_type']}")
    if len(tokenizer) > text["vocab_size"]:
        foreign.append(f"a tokenizer of {len(tokenizer)} words for a vocabulary of {text['vocab_size']}")
    if foreign:
        raise ConfigError(f"this is no plain CLIP, which is all that can be converted: it has {', '.join(foreign)}")
    activation = "quick_gelu" if told.get("quick_gelu") else "gelu"
    return CLIPConfig(
        text_config={
            **_read_tower(text, text["heads"], activation),
            "vocab_size": text["vocab_size"],
            "max_position_embeddings": text.get("context_length", 77),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            **_read_tower(vision, vision["width"] // vision.get("head_width", 64), activation),
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
        projection_dim=told["embed_dim"],
    )


def _read_tower(told: Mapping[str, Any], heads: int, activation: str) -> dict[str, Any]:
    return {
        "hidden_size": told["width"],
        "intermediate_size": round(told["width"] * told.get("mlp_ratio", 4.0)),
        "num_hidden_layers": told["layers"],
        "num_attention_heads": heads,
        "hidden_act": activation,
        "layer_norm_eps": 1e-5,
    }


def describe_model(encoder: DualEncoder) -> dict[str, Any]:
    """open_clip's ``model_cfg`` of a ``transformers`` CLIP.

    Raises:
        ConfigError: lists everything that open_clip's CLIP cannot express.
    """
    text, vision = encoder.model.config.text_config, encoder.model.config.vision_config
    _check_expressible(text, vision)
    return {
        "embed_dim": encoder.model.config.projection_dim,
        "quick_gelu": text.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size,
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            "patch_size": vision.patch_size,
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "hf_tokenizer_name": ".",  # the folder's own
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "layers": text.num_hidden_layers,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
            **_describe_pooling(encoder),
        },
    }


def convert_weights(model: Any) -> dict[str, Tensor]:
    """Weights of a ``transformers`` ``CLIPModel`` under open_clip's names."""
    state = model.state_dict()
    converted = {theirs: state[ours] for theirs, ours in _SINGLE.items()}
    converted["text_projection"] = state["text_projection.weight"].T
    converted["visual.proj"] = state["visual_projection.weight"].T
    for theirs, ours in _NORMS.items():
        converted |= {f"{theirs}.{part}": state[f"{ours}.{part}"] for part in ("weight", "bias")}
    for theirs, ours in _TOWERS.items():
        layers = getattr(model.config, f"{ours.split('_')[0]}_config").num_hidden_layers
        for index in range(layers):
            converted |= _convert_layer(state, f"{ours}.encoder.layers.{index}", f"{theirs}.resblocks.{index}")
    return {name: weight.contiguous().clone() for name, weight in converted.items()}


def restore_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_weights`: open_clip's weights under the names of ``transformers``.

    Raises:
        ConfigError: lists weights that a plain CLIP does not have, or that are missing.
    """
    missing = [name for name in (*_SINGLE, "text_projection", "visual.proj") if name not in state]
    if missing:
        raise ConfigError(f"these weights of a plain CLIP are missing: {', '.join(missing)}")
    restored = {ours: state[theirs] for theirs, ours in _SINGLE.items()}
    restored["text_projection.weight"] = state["text_projection"].T
    restored["visual_projection.weight"] = state["visual.proj"].T
    used = {*_SINGLE, "text_projection", "visual.proj", "attn_mask"}
    for theirs, ours in _NORMS.items():
        restored |= {f"{ours}.{part}": state[f"{theirs}.{part}"] for part in ("weight", "bias")}
        used |= {f"{theirs}.{part}" for part in ("weight", "bias")}
    for theirs, ours in _TOWERS.items():
        index = 0
        while f"{theirs}.resblocks.{index}.ln_1.weight" in state:
            layer, names = _restore_layer(state, f"{ours}.encoder.layers.{index}", f"{theirs}.resblocks.{index}")
            restored |= layer
            used |= names
            index += 1
    unknown = sorted(set(state) - used)
    if unknown:
        raise ConfigError(f"these weights are no plain CLIP's: {', '.join(unknown[:5])} ({len(unknown)} in all)")
    return {name: weight.contiguous().clone() for name, weight in restored.items()}


def _convert_layer(state: Mapping[str, Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    layer = {
        f"{theirs}.{new}.{part}": state[f"{ours}.{old}.{part}"] for new, old in _LAYER.items() for part in ("weight", "bias")
    }
    for part in ("weight", "bias"):
        stacked = [state[f"{ours}.self_attn.{name}_proj.{part}"] for name in "qkv"]
        layer[f"{theirs}.attn.in_proj_{part}"] = torch.cat(stacked)
    return layer


def _restore_layer(state: Mapping[str, Tensor], ours: str, theirs: str) -> tuple[dict[str, Tensor], set[str]]:
    pairs = {f"{theirs}.{new}.{part}": f"{ours}.{old}.{part}" for new, old in _LAYER.items() for part in ("weight", "bias")}
    layer = {own: state[name] for name, own in pairs.items()}
    for part in ("weight", "bias"):
        stacked = state[f"{theirs}.attn.in_proj_{part}"].chunk(3)
        layer |= {f"{ours}.self_attn.{name}_proj.{part}": piece for name, piece in zip("qkv", stacked, strict=True)}
    return layer, {*pairs, f"{theirs}.attn.in_proj_weight", f"{theirs}.attn.in_proj_bias"}


def _check_expressible(text: Any, vision: Any) -> None:
    problems = []
    if text.hidden_act != vision.hidden_act or text.hidden_act not in ("quick_gelu", "gelu"):
        problems.append(
            f"activations {text.hidden_act} (text) and {vision.hidden_act} (vision); both must be quick_gelu or gelu"
        )
    for name, tower in (("text", text), ("vision", vision)):
        if tower.layer_norm_eps != 1e-5:
            problems.append(f"layer_norm_eps {tower.layer_norm_eps} of the {name} tower; it must be 1e-5")
    if problems:
        raise ConfigError("open_clip cannot express this model: " + "; ".join(problems))


def _describe_pooling(encoder: DualEncoder) -> dict[str, Any]:
    """open_clip pools at the highest token id, which is the end token in CLIP's vocabulary; elsewhere it has to be told."""
    end = encoder.tokenizer.eos_token_id
    if end == max(encoder.tokenizer.get_vocab().values()):
        return {}
    return {"pool_type": "eos", "eos_id": end}


def describe_preprocessing(encoder: DualEncoder) -> dict[str, Any]:
    """open_clip's ``preprocess_cfg``."""
    processor = encoder.processor
    return {
        "mean": list(processor.image_mean),
        "std": list(processor.image_std),
        "interpolation": _RESAMPLING.get(int(processor.resample), "bicubic"),
        "resize_mode": "shortest",
    }
