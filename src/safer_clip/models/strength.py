"""A trained adapter at another strength: base weights plus ``strength`` times what training added to them.

For LoRA this is exact: ``W + strength * alpha / rank * B A``. Nothing is loaded again, and no weight is subtracted from
afterwards, which would leave rounding behind: the base weights are kept and put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from safer_clip.errors import ConfigError
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.identity import check_identity
from safer_clip.models.similarity import read_similarity

ADAPTER_FOLDER = "adapter"
_NEEDED = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class ScaledAdapter:
    """What an adapter adds to a model at full strength.

    Attributes:
        encoder: the pre-trained model, plain, with its own weights.
        updates: what training added, by the name of the weight.
    """

    encoder: DualEncoder
    updates: Mapping[str, Tensor]

    @contextmanager
    def at(self, strength: float) -> Iterator[DualEncoder]:
        """The model at a strength, for as long as the context lasts; then its weights are the base's again, bit for bit.

        Args:
            strength: 0 is the base model, 1 the trained one, bit for bit as ``train`` wrote it.
        """
        weights = dict(self.encoder.model.named_parameters())
        kept = {name: weights[name].detach().clone() for name in self.updates}
        try:
            with torch.no_grad():
                for name, update in self.updates.items():
                    weights[name].add_(update, alpha=strength)
            yield self.encoder
        finally:
            with torch.no_grad():
                for name, original in kept.items():
                    weights[name].copy_(original)


def subtract_models(base: DualEncoder, tuned: DualEncoder) -> ScaledAdapter:
    """What a tuned model has on top of its base, whichever way it got there: strengths interpolate between their weights.

    At strength 1 this is the tuned model but for the rounding of one subtraction and one addition.

    Args:
        base: the pre-trained model, with the similarity that the tuned one has.
        tuned: of the same architecture.

    Raises:
        ConfigError: the two have not the same weights.
    """
    ours, theirs = (dict(encoder.model.named_parameters()) for encoder in (base, tuned))
    if {name: weight.shape for name, weight in ours.items()} != {name: weight.shape for name, weight in theirs.items()}:
        raise ConfigError("the tuned model has other weights than its base, so there is nothing in between")
    with torch.no_grad():
        updates = {name: theirs[name].to(weight) - weight for name, weight in ours.items()}
    return ScaledAdapter(base, {name: update for name, update in updates.items() if bool(update.any())})


def load_adapter(encoder: DualEncoder, folder: Path) -> ScaledAdapter:
    """Read the adapter that ``train`` left in a model folder, and make sure that it belongs to this base model.

    Args:
        encoder: the pre-trained model; it is left as it is, and shared with what is returned.
        folder: of the tuned model, with ``adapter/`` inside.

    Raises:
        ConfigError: there is no adapter, it is none that can be scaled, it does not fit the base model, or base and adapter
            together do not answer as the tuned model did when it was written.
    """
    if read_similarity(folder) != encoder.similarity:
        raise ConfigError(f"{folder} compares otherwise than its base model, so there is nothing in between to measure")
    path = folder / ADAPTER_FOLDER
    missing = [name for name in _NEEDED if not (path / name).is_file()]
    if missing:
        raise ConfigError(f"{path} lacks {' and '.join(missing)}; a strength needs a model folder as `train` writes it")
    scaled = ScaledAdapter(encoder, _read_updates(encoder.model, path))
    try:
        with scaled.at(1.0) as tuned:
            check_identity(tuned, folder)
    except ConfigError as error:
        raise ConfigError(f"{path} was trained on another base model than the one given: {error}") from error
    return scaled


def _read_updates(model: Any, path: Path) -> dict[str, Tensor]:
    from peft import PeftConfig, PeftModel

    _refuse_inexact(PeftConfig.from_pretrained(str(path)), path)
    try:
        adapted = PeftModel.from_pretrained(model, str(path), torch_device="cpu")
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} does not fit the base model: {str(error).splitlines()[0]}") from error
    updates: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, module in adapted.get_base_model().named_modules():
            for adapter in getattr(module, "lora_A", {}):
                updates[f"{name}.weight"] = module.get_delta_weight(adapter)
    adapted.unload()
    return updates


def _refuse_inexact(config: Any, path: Path) -> None:
    """Only plain LoRA is linear in its strength, and only if it is all that was trained."""
    plain = config.peft_type == "LORA" and not (config.use_dora or config.modules_to_save or config.bias != "none")
    if not plain:
        raise ConfigError(f"{path} is no plain LoRA adapter without biases and whole layers, which alone can be scaled")
