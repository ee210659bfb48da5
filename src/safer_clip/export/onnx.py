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

TEXT_FILE, VISION_FILE = "text.onnx", "vision.onnx"
OPSET = 18


class OnnxExport:
    """``text.onnx`` and ``vision.onnx``; batch and text length are free, embeddings are projected and not normalised."""

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Trace both towers and write them, with tokenizer and image processor beside."""
        probe = build_probe(encoder)
        batch = torch.export.Dim("batch", min=1)
        text_shape = {"input_ids": {0: batch}, "attention_mask": {0: batch}}
        _trace(_TextTower(encoder.model), (probe.input_ids, probe.attention_mask), text_shape, folder / TEXT_FILE)
        _trace(_VisionTower(encoder.model), (probe.pixel_values,), {"pixel_values": {0: batch}}, folder / VISION_FILE)
        encoder.tokenizer.save_pretrained(folder)
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

        tokens = {"input_ids": probe.input_ids.numpy(), "attention_mask": probe.attention_mask.numpy()}
        return {"text": run(TEXT_FILE, tokens), "image": run(VISION_FILE, {"pixel_values": probe.pixel_values.numpy()})}


class _TextTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found: Tensor = self.model.get_text_features(input_ids, attention_mask=attention_mask).pooler_output
        return found


class _VisionTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        found: Tensor = self.model.get_image_features(pixel_values).pooler_output
        return found


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
