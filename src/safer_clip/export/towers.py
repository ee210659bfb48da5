"""Exports in the layouts of ``transformers``: the whole model, or the one tower that a tool swaps in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from safer_clip.export.probe import Outputs, Probe, embed_probe, to_numpy
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.preparation import FAMILIES

SINGLE_FILE = "text_encoder.safetensors"
LLAVA_LAYER = -2
"""The vision layer whose patches LLaVA reads."""


class TransformersExport:
    """The merged model, its tokenizer and its image processor, as ``CLIPModel.from_pretrained`` loads them."""

    families = tuple(name for name in FAMILIES if name != "siglip2")

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Write the folder."""
        encoder.save(folder)

    def expect(self, encoder: DualEncoder, probe: Probe) -> Outputs:
        """Embeddings of both towers."""
        return embed_probe(encoder, probe)

    def answer(self, folder: Path, probe: Probe) -> Outputs:
        """The same of the folder."""
        return embed_probe(DualEncoder.load(folder, "cpu"), probe)


class DiffusersExport:
    """``text_encoder`` and ``tokenizer``, two folders to put in the place of a Stable Diffusion pipeline's own."""

    families = ("clip", "clip_text_model")

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Write both folders."""
        extract_text_tower(encoder).save_pretrained(folder / "text_encoder")
        encoder.tokenizer.save_pretrained(folder / "tokenizer")

    def expect(self, encoder: DualEncoder, probe: Probe) -> Outputs:
        """What a diffusion model is conditioned on: the last hidden states of every token, and the pooled one."""
        return run_text_tower(extract_text_tower(encoder), probe)

    def answer(self, folder: Path, probe: Probe) -> Outputs:
        """The same of the folder."""
        from transformers import CLIPTextModel

        return run_text_tower(CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True), probe)


class LlavaExport:
    """A vision tower that LLaVA-type models take: weights and image processor in one folder."""

    families = ("clip", "clip_vision_model")

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Write the folder."""
        extract_vision_tower(encoder).save_pretrained(folder)
        encoder.processor.save_pretrained(folder)

    def expect(self, encoder: DualEncoder, probe: Probe) -> Outputs:
        """What LLaVA reads: the patches of the last layer but one."""
        return _run_vision_tower(extract_vision_tower(encoder), probe)

    def answer(self, folder: Path, probe: Probe) -> Outputs:
        """The same of the folder."""
        from transformers import CLIPVisionModel

        return _run_vision_tower(CLIPVisionModel.from_pretrained(folder, local_files_only=True), probe)


class SingleFileExport:
    """The text tower in one file under the names that image-generation UIs look for, ``text_model.*``."""

    families = ("clip", "clip_text_model")

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Write the file."""
        from safetensors.torch import save_file

        tower = {name: weight for name, weight in encoder.model.state_dict().items() if name.startswith("text_")}
        weights = {name: weight.contiguous() for name, weight in tower.items() if not name.endswith("position_ids")}
        save_file(weights, folder / SINGLE_FILE, metadata={"format": "pt"})
        extract_text_tower(encoder).config.save_pretrained(folder)

    def expect(self, encoder: DualEncoder, probe: Probe) -> Outputs:
        """Hidden states and projected embeddings."""
        projected = embed_probe(encoder, probe)["text"]
        return {**run_text_tower(extract_text_tower(encoder), probe), "text": projected}

    def answer(self, folder: Path, probe: Probe) -> Outputs:
        """The same from the file alone and its configuration."""
        from safetensors.torch import load_file
        from transformers import CLIPTextConfig, CLIPTextModel

        weights = load_file(folder / SINGLE_FILE)
        projection = weights.pop("text_projection.weight")
        tower = CLIPTextModel(CLIPTextConfig.from_pretrained(folder)).train(False)
        tower.load_state_dict(_rename(weights, tower), strict=True)
        found = run_text_tower(tower, probe)
        return {**found, "text": to_numpy(torch.from_numpy(found["pooled"]) @ projection.T)}


def extract_text_tower(encoder: DualEncoder) -> Any:
    """The text tower alone, as a ``CLIPTextModel`` with the weights of the whole model."""
    from transformers import CLIPTextModel

    return _fill(CLIPTextModel(encoder.configure("text")), encoder.model.state_dict())


def extract_vision_tower(encoder: DualEncoder) -> Any:
    """The vision tower alone, as a ``CLIPVisionModel`` with the weights of the whole model."""
    from transformers import CLIPVisionModel

    return _fill(CLIPVisionModel(encoder.configure("image")), encoder.model.state_dict())


@torch.inference_mode()
def run_text_tower(tower: Any, probe: Probe) -> Outputs:
    """Hidden states of every token of the context, and of the end token."""
    output = tower(probe.input_ids)
    return {"hidden": to_numpy(output.last_hidden_state), "pooled": to_numpy(output.pooler_output)}


@torch.inference_mode()
def _run_vision_tower(tower: Any, probe: Probe) -> Outputs:
    output = tower(probe.pixel_values, output_hidden_states=True)
    return {"patches": to_numpy(output.hidden_states[LLAVA_LAYER][:, 1:])}


def _fill(tower: Any, weights: dict[str, torch.Tensor]) -> Any:
    prefix = "text_model." if "Text" in type(tower).__name__ else "vision_model."
    own = {name: weight for name, weight in weights.items() if name.startswith(prefix)}
    tower.load_state_dict(_rename(own, tower), strict=True)
    return tower.train(False)


def _rename(weights: dict[str, torch.Tensor], tower: Any) -> dict[str, torch.Tensor]:
    """Names with or without the tower's prefix, as this version of ``transformers`` has them (flat since 5.6)."""
    wanted = tower.state_dict().keys()
    if set(weights) == set(wanted):
        return weights
    return {name.split(".", 1)[1]: weight for name, weight in weights.items()}
