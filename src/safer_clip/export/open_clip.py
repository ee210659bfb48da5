"""Export to open_clip: its names for the weights, its configuration, loadable as ``local-dir:FOLDER``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from safer_clip.errors import ConfigError, need_extra
from safer_clip.export.probe import Outputs, Probe, embed_probe, to_numpy
from safer_clip.files import write_json
from safer_clip.models.dual_encoder import DualEncoder

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
_RESAMPLING = {2: "bilinear", 3: "bicubic"}


class OpenClipExport:
    """Weights, configuration and tokenizer."""

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Write the folder.

        Raises:
            ConfigError: the model has something that open_clip's CLIP cannot express.
        """
        from safetensors.torch import save_file

        config = {"model_cfg": describe_model(encoder), "preprocess_cfg": _describe_preprocessing(encoder)}
        save_file(convert_weights(encoder.model), folder / WEIGHTS, metadata={"format": "pt"})
        encoder.tokenizer.save_pretrained(folder)
        write_json(folder / CONFIG, config)

    def expect(self, encoder: DualEncoder, probe: Probe) -> Outputs:
        """Embeddings of both towers."""
        return embed_probe(encoder, probe)

    @torch.inference_mode()
    def answer(self, folder: Path, probe: Probe) -> Outputs:
        """The same from open_clip."""
        with need_extra("open_clip_torch", "export"):
            import open_clip

        model = open_clip.create_model(f"local-dir:{folder}").train(False)
        return {
            "text": to_numpy(model.encode_text(probe.input_ids)),
            "image": to_numpy(model.encode_image(probe.pixel_values)),
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
    converted = {
        "logit_scale": state["logit_scale"],
        "text_projection": state["text_projection.weight"].T,
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "visual.proj": state["visual_projection.weight"].T,
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
    }
    for theirs, ours in (
        ("ln_final", "text_model.final_layer_norm"),
        ("visual.ln_pre", "vision_model.pre_layrnorm"),
        ("visual.ln_post", "vision_model.post_layernorm"),
    ):
        converted |= {f"{theirs}.{part}": state[f"{ours}.{part}"] for part in ("weight", "bias")}
    for theirs, ours in (("transformer", "text_model"), ("visual.transformer", "vision_model")):
        layers = getattr(model.config, "text_config" if ours == "text_model" else "vision_config").num_hidden_layers
        for index in range(layers):
            converted |= _convert_layer(state, f"{ours}.encoder.layers.{index}", f"{theirs}.resblocks.{index}")
    return {name: weight.contiguous().clone() for name, weight in converted.items()}


def _convert_layer(state: dict[str, Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    names = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2"}
    names |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    layer = {
        f"{theirs}.{new}.{part}": state[f"{ours}.{old}.{part}"] for new, old in names.items() for part in ("weight", "bias")
    }
    for part in ("weight", "bias"):
        stacked = [state[f"{ours}.self_attn.{name}_proj.{part}"] for name in "qkv"]
        layer[f"{theirs}.attn.in_proj_{part}"] = torch.cat(stacked)
    return layer


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


def _describe_preprocessing(encoder: DualEncoder) -> dict[str, Any]:
    processor = encoder.processor
    return {
        "mean": list(processor.image_mean),
        "std": list(processor.image_std),
        "interpolation": _RESAMPLING.get(int(processor.resample), "bicubic"),
        "resize_mode": "shortest",
    }
