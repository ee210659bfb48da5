"""UWM: turn the sign of the weights that matter most to unsafe content (D'Inca et al., WACV 2026, arXiv 2503.11742).

The rule is that of the authors' code (github.com/Moreno98/UWM). For a linear layer with weights ``W``, and for each pair of
a safe and an unsafe item, ``n_j`` and ``s_j`` are norm and standard deviation of input ``j`` over the item's tokens:

- saliency (equation 8): ``(mean_j |W_ij| n_j) (mean_i |W_ij| n_j)``, what flows out of ``i`` times what flows in from ``j``;
- steadiness (9): divided by ``s_j``;
- score (10): unsafe over safe, averaged over pairs; in the text encoder times ``|W_ij|``;
- choice (11): scores of a layer are scaled to a sum of 1 and added up from the lowest; the weights that come after the sum
  has passed ``mass`` are multiplied by ``factor``. So the highest scores, which hold 2 % of the mass, are negated.

As ``|W|`` is the same for both items, the ratio of a pair is an outer product, so that no weight-sized array a pair is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from safer_clip.editing.base import Edited, copy_encoder
from safer_clip.errors import ConfigError
from safer_clip.models.lora import Tower, tower_of
from safer_clip.reference import find_sides

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.batches import ReferenceRows
    from safer_clip.models.dual_encoder import DualEncoder

LAYERS: dict[Tower, str] = {"text": "out_proj", "vision": "fc2"}
_PAIRS_AT_ONCE = 64
_TINY = 1e-8


@dataclass(frozen=True, slots=True)
class UwmEdit:
    """Unsafe Weights Manipulation; the defaults are the authors' for ViT-L/14.

    The calibration rows are taken evenly from the whole table (the authors' are drawn at random).

    Attributes:
        text_mass: share of the text encoder's scores that is left alone, in each layer.
        vision_mass: likewise of the image encoder's; 1 for none to be changed.
        factor: what the chosen weights are multiplied by.
        rows: calibration quadruplets.
    """

    text_mass: float = 0.98
    vision_mass: float = 0.98
    factor: float = -1.0
    rows: float = 8192

    def __call__(self, encoder: DualEncoder, table: Dataset, reference: ReferenceRows) -> Edited:
        """Edit a model; an encoder for which the table has not both sides is left alone."""
        present = find_sides(table)
        count = min(int(self.rows), len(table))
        rows = table.select(np.linspace(0, len(table) - 1, count).round().astype(int).tolist())
        edited = copy_encoder(encoder)
        told: dict[str, float] = {"rows": count}
        masses: dict[Tower, float] = {"text": self.text_mass, "vision": self.vision_mass}
        for tower, mass in masses.items():
            if tower == "vision" and not {"safe_image", "unsafe_image"} <= set(present):
                continue
            scores = score_layers(encoder, rows, tower)
            changed = _change_weights(edited.model, scores, mass, self.factor)
            told |= {f"{tower}_layers": len(scores), f"{tower}_changed_percent": 100 * changed}
        return Edited(edited, told)


def choose_top_mass(scores: Tensor, mass: float) -> Tensor:
    """Which scores come after the sum from the lowest up has passed ``mass`` of the whole: bool, of the same shape."""
    flat = scores.double().flatten()
    ordered, places = torch.sort(flat)
    sums = ordered.cumsum(0)
    chosen = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    chosen[places[sums / sums[-1] > mass]] = True
    return chosen.view_as(scores)


def rate_pairs(weight: Tensor, safe: Tensor, unsafe: Tensor, masks: tuple[Tensor, Tensor]) -> Tensor:
    """Sum over pairs of the ratio of unsafe to safe score.

    Args:
        weight: of the layer: ``(out, in)``.
        safe: inputs of the safe items: ``(b, tokens, in)``.
        unsafe: likewise of the unsafe ones.
        masks: which tokens count, of the safe and of the unsafe items: ``(b, tokens)`` each.

    Returns:
        ``(out, in)``.
    """
    (safe_norm, safe_spread), (unsafe_norm, unsafe_spread) = _measure(safe, masks[0]), _measure(unsafe, masks[1])
    magnitude = weight.abs().T
    flow_out = (unsafe_norm @ magnitude) / (safe_norm @ magnitude).clamp_min(_TINY)
    flow_in = (unsafe_norm / safe_norm) * (safe_spread / unsafe_spread)
    return flow_out.T @ flow_in


def _measure(inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Norm and standard deviation of each input over an item's tokens: ``(b, in)`` each, never 0."""
    counted = mask.unsqueeze(-1).to(inputs.dtype)
    count = counted.sum(1)
    mean = (inputs * counted).sum(1) / count.clamp_min(1)
    spread = ((inputs - mean.unsqueeze(1)).square() * counted).sum(1) / (count - 1).clamp_min(1)
    norm = (inputs.square() * counted).sum(1).sqrt()
    return norm + _TINY, spread.sqrt() + _TINY


def score_layers(encoder: DualEncoder, table: Dataset, tower: Tower) -> dict[str, Tensor]:
    """Score every weight of the encoder's target layers: ``(out, in)`` by the layer's name.

    Raises:
        ConfigError: the encoder has no such layer.
    """
    layers = _find_layers(encoder.model, tower)
    run = _run_texts if tower == "text" else _run_images
    scores: dict[str, Tensor] = {}
    with _listen(layers) as heard:
        for start in range(0, len(table), _PAIRS_AT_ONCE):
            mask = run(encoder, table.select(range(start, min(start + _PAIRS_AT_ONCE, len(table)))))
            for name, inputs in heard.items():
                seen = torch.ones(inputs.shape[:2], device=inputs.device) if mask is None else mask.to(inputs.device)
                safe, unsafe = inputs.float().chunk(2)
                rated = rate_pairs(layers[name].weight.detach().float(), safe, unsafe, (seen.chunk(2)[0], seen.chunk(2)[1]))
                scores[name] = scores[name] + rated if name in scores else rated
    scale = {name: layers[name].weight.detach().abs() if tower == "text" else 1.0 for name in scores}
    return {name: score / len(table) * scale[name] for name, score in scores.items()}


def _find_layers(model: nn.Module, tower: Tower) -> dict[str, nn.Linear]:
    found = {
        name: module
        for name, module in model.named_modules()
        # not those of SigLIP's pooling head, which is no layer of the encoder
        if isinstance(module, nn.Linear) and ".layers." in name and tower_of(name) == tower and _last(name) == LAYERS[tower]
    }
    if not found:
        raise ConfigError(f"the {tower} encoder has no layer named {LAYERS[tower]}, which UWM edits")
    return found


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


@contextmanager
def _listen(layers: dict[str, nn.Linear]) -> Iterator[dict[str, Tensor]]:
    """The inputs of layers in the model's last forward pass, by name."""
    heard: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[nn.Module, Any], None]:
        def hear(_: nn.Module, given: Any) -> None:
            heard[name] = given[0].detach()

        return hear

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in layers.items()]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def _run_texts(encoder: DualEncoder, rows: Dataset) -> Tensor:
    cells = rows.select_columns(["safe_caption", "unsafe_caption"])[:]
    inputs = encoder.preparation.prepare_texts([*cells["safe_caption"], *cells["unsafe_caption"]])
    encoder.model.get_text_features(**{name: part.to(encoder.model.device) for name, part in inputs.items()})
    mask = inputs.get("attention_mask")
    return mask if mask is not None else inputs["input_ids"] != encoder.tokenizer.pad_token_id


@torch.inference_mode()
def _run_images(encoder: DualEncoder, rows: Dataset) -> Tensor | None:
    cells = rows.select_columns(["safe_image", "unsafe_image"])[:]
    images: Sequence[Any] = [image.convert("RGB") for side in ("safe_image", "unsafe_image") for image in cells[side]]
    inputs = encoder.preparation.prepare_images(images)
    encoder.model.get_image_features(**{name: part.to(encoder.model.device) for name, part in inputs.items()})
    return inputs.get("pixel_attention_mask")  # of models of free resolution, which pad patches


def _change_weights(model: nn.Module, scores: dict[str, Tensor], mass: float, factor: float) -> float:
    """Multiply the chosen weights, in place; returns their share."""
    modules = dict(model.named_modules())
    changed = 0
    with torch.no_grad():
        for name, score in scores.items():
            layer: Any = modules[name]
            chosen = choose_top_mass(score, mass)
            layer.weight[chosen] *= factor
            changed += int(chosen.sum())
    return changed / sum(score.numel() for score in scores.values())
