"""Export to open_clip: its names for the weights, its configuration, loadable as ``local-dir:FOLDER``."""

from __future__ import annotations

from pathlib import Path

import torch

from safer_clip.errors import need_extra
from safer_clip.export.probe import Outputs, Probe, embed_probe, to_numpy
from safer_clip.files import write_json
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.open_clip import CONFIG, WEIGHTS, convert_weights, describe_model, describe_preprocessing


class OpenClipExport:
    """Weights, configuration and tokenizer."""

    families = ("clip",)

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Write the folder.

        Raises:
            ConfigError: the model has something that open_clip's CLIP cannot express.
        """
        from safetensors.torch import save_file

        config = {"model_cfg": describe_model(encoder), "preprocess_cfg": describe_preprocessing(encoder)}
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
