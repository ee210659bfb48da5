"""Export to ONNX, each tower in a file of its own, checked with onnxruntime."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from safer_clip.errors import need_extra
from safer_clip.export.probe import Outputs, Probe, build_probe, embed_probe
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.features import project

TEXT_FILE, VISION_FILE = "text.onnx", "vision.onnx"
OPSET = 18


class OnnxExport:
    """``text.onnx`` and ``vision.onnx``; batch and text length are free, embeddings are projected and not normalised."""

    families = ("clip", "siglip", "clip_text_model", "clip_vision_model")

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Trace both towers and write them, with tokenizer and image processor beside."""
        probe = build_probe(encoder)
        batch = torch.export.Dim("batch", min=1)
        if "text" in encoder.modalities:
            tokens = _name_tokens(probe)
            tower = _TextTower(encoder.model) if len(tokens) > 1 else _MasklessTextTower(encoder.model)
            _trace(tower, tuple(tokens.values()), {name: {0: batch} for name in tokens}, folder / TEXT_FILE)
            encoder.tokenizer.save_pretrained(folder)
        if "image" in encoder.modalities:
            pixels = {"pixel_values": {0: batch}}
            _trace(_VisionTower(encoder.model), (probe.pixel_values,), pixels, folder / VISION_FILE)
            encoder.processor.save_pretrained(folder)

    def expect(self, encoder: DualEncoder, probe: Probe) -> Outputs:
        """Embeddings of both towers."""
        return embed_probe(encoder, probe)

    def answer(self, folder: Path, probe: Probe) -> Outputs:
        """The same from onnxruntime."""
        with need_extra("onnxruntime", "export"):
            import onnxruntime

        def run(name: str, inputs: dict[str, Any]) -> Any:
            session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
            return session.run(None, inputs)[0]

        found: dict[str, Any] = {}
        if (folder / TEXT_FILE).is_file():
            found["text"] = run(TEXT_FILE, {name: part.numpy() for name, part in _name_tokens(probe).items()})
        if (folder / VISION_FILE).is_file():
            found["image"] = run(VISION_FILE, {"pixel_values": probe.pixel_values.numpy()})
        return found


class _TextTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return project(self.model, {"input_ids": input_ids, "attention_mask": attention_mask}, "text")


class _MasklessTextTower(nn.Module):
    """SigLIP's, which reads the padding as well."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        return project(self.model, {"input_ids": input_ids}, "text")


class _VisionTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return project(self.model, {"pixel_values": pixel_values}, "image")


def _name_tokens(probe: Probe) -> dict[str, Tensor]:
    masked = {"attention_mask": probe.attention_mask} if len(probe.attention_mask) else {}
    return {"input_ids": probe.input_ids, **masked}


def _trace(tower: nn.Module, inputs: tuple[Tensor, ...], shapes: dict[str, Any], path: Path) -> None:
    with need_extra("onnxscript", "export"):
        import onnxscript  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            tower.train(False),
            inputs,
            path,
            input_names=list(shapes),
            output_names=["embeddings"],
            dynamic_shapes=shapes,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
