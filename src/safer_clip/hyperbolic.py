"""Entering hyperbolic space with a model that compares by cosine, and learning where safe items lie there (HySAC)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from safer_clip.batches import name_column
from safer_clip.models.features import project
from safer_clip.models.similarity import Lorentz, Modality

if TYPE_CHECKING:
    from datasets import Dataset

    from safer_clip.models.dual_encoder import DualEncoder

SAMPLE = 256
BOUND_ROWS = 1000
BOUND_PERCENTILE = 95


def enter_hyperbolic(encoder: DualEncoder, table: Dataset, curvature: float) -> DualEncoder:
    """The same model with Lorentz similarity: features are scaled so that safe items lie at a distance of 1 on average.

    The authors start both scales at ``d ** -0.5``, which is meant to give just that, and learn them along; here they are
    measured on the first rows, since features of other models have other lengths.
    """
    scales = {modality: 1 / _measure_norm(encoder, table, modality) for modality in encoder.modalities}
    similarity = Lorentz(curvature=curvature, text_scale=scales.get("text", 1.0), image_scale=scales.get("image", 1.0))
    return replace(encoder, similarity=similarity)


def bound_traversal(encoder: DualEncoder, table: Dataset) -> DualEncoder:
    """The same model with safe traversal: its bounds are the 95th percentile of the distances of safe training items."""
    similarity: Any = encoder.similarity
    sample = table.select(range(min(BOUND_ROWS, len(table))))
    bounds: dict[str, float] = {}
    for modality in encoder.modalities:
        rows = _embed_safe(encoder, sample, modality)
        if rows is not None:
            bounds[f"{modality}_bound"] = float(np.percentile(similarity.distance_from_root(rows), BOUND_PERCENTILE))
    return replace(encoder, similarity=replace(similarity, **bounds))


def _embed_safe(encoder: DualEncoder, table: Dataset, modality: Modality) -> Any:
    cells = table[name_column(f"safe_{modality}")][:]
    if any(cell is None for cell in cells):
        return None
    return (
        encoder.encode_texts(cells) if modality == "text" else encoder.encode_images([cell.convert("RGB") for cell in cells])
    )


@torch.inference_mode()
def _measure_norm(encoder: DualEncoder, table: Dataset, modality: Modality) -> float:
    cells = table.select(range(min(SAMPLE, len(table))))[name_column(f"safe_{modality}")][:]
    if any(cell is None for cell in cells):
        return 1.0
    prepare = encoder.preparation.prepare_texts if modality == "text" else _prepare_images(encoder)
    inputs = {name: part.to(encoder.model.device) for name, part in prepare(cells).items()}
    return float(project(encoder.model, inputs, modality).float().norm(dim=-1).mean())


def _prepare_images(encoder: DualEncoder) -> Any:
    return lambda cells: encoder.preparation.prepare_images([cell.convert("RGB") for cell in cells])
