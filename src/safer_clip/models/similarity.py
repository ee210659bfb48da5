"""How a model compares what it embeds: by cosine, or by distance in hyperbolic space (HySAC, CVPR 2025).

Every similarity ranks as an inner product of *query rows* and *gallery rows*, so that rankings need not know which it is.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor

from safer_clip.errors import ConfigError, list_fields
from safer_clip.files import write_json

Floats = NDArray[np.floating]
Modality = Literal["text", "image"]
SIMILARITY_FILE = "safer_clip_similarity.json"


class Similarity(Protocol):
    """What a model's embeddings are, and how two of them compare."""

    def embed(self, features: Tensor, modality: Modality) -> Tensor:
        """Projected features ``(n, d)`` of an encoder as rows of the embedding space: ``(n, e)``."""
        ...

    def as_queries(self, rows: Floats, wanted: Modality) -> Floats:
        """Rows to search with for items of a modality: ``(n, e)``."""
        ...

    def search(self, rows: Tensor, wanted: Modality) -> Tensor:
        """Likewise of a tensor, differentiably, for attacks."""
        ...

    def as_gallery(self, rows: Floats) -> Floats:
        """Rows to search among: their inner product with query rows grows with similarity: ``(n, e)``."""
        ...

    def as_directions(self, rows: Floats) -> Floats:
        """L2-normalised rows whose cosines tell which items are neighbours: ``(n, d)``."""
        ...

    def centre(self, sums: Floats) -> Floats:
        """The rows in the middle of others, from their sums: ``(n, e)``."""
        ...


@dataclass(frozen=True)
class Cosine:
    """Rows are L2-normalised, and compared by their inner product."""

    def embed(self, features: Tensor, modality: Modality) -> Tensor:
        """See :class:`Similarity`."""
        return F.normalize(features, dim=-1)

    def as_queries(self, rows: Floats, wanted: Modality) -> Floats:
        """See :class:`Similarity`."""
        return rows

    def search(self, rows: Tensor, wanted: Modality) -> Tensor:
        """See :class:`Similarity`."""
        return rows

    def as_gallery(self, rows: Floats) -> Floats:
        """See :class:`Similarity`."""
        return rows

    def as_directions(self, rows: Floats) -> Floats:
        """See :class:`Similarity`."""
        return rows

    def centre(self, sums: Floats) -> Floats:
        """See :class:`Similarity`."""
        rows: Floats = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return rows


COSINE = Cosine()


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Lorentz:
    """Points of the hyperboloid of curvature ``-curvature``, compared by geodesic distance (HySAC; MERU, ICML 2023).

    A row is a point's space components and, last, its time ``sqrt(1 / curvature + |space|^2)``. The Lorentzian inner product
    ``x . y - x_time y_time`` falls with distance, so that a gallery with its time negated ranks by distance.

    *Safe traversal*: a query farther from the root than ``bound + tanh((bound - margin) / curvature) + 1`` is drawn back to
    that distance, along its own direction; ``bound`` is the 95th percentile of the distances of safe items of the modality
    that is searched for. The authors' code sets the norm of the space components to that distance instead, and their
    evaluation takes the logarithm of the curvature for the curvature; here both are as the geometry has them.

    Attributes:
        curvature: positive; the space's curvature is its negative.
        text_scale: factor of text features before the exponential map; ``image_scale`` likewise.
        image_bound: bound for searches among images, and ``text_bound`` among texts; ``None`` for no traversal.
        margin: of the traversal.
    """

    curvature: float = Field(gt=0)
    text_scale: float = Field(gt=0)
    image_scale: float = Field(gt=0)
    image_bound: float | None = Field(default=None, gt=0)
    text_bound: float | None = Field(default=None, gt=0)
    margin: float = 0.8

    def embed(self, features: Tensor, modality: Modality) -> Tensor:
        """See :class:`Similarity`; the exponential map at the root, MERU's equation 4."""
        velocity = features * (self.text_scale if modality == "text" else self.image_scale)
        norms = velocity.norm(dim=-1, keepdim=True).clamp_min(1e-8)
        root = self.curvature**0.5
        space = torch.sinh((root * norms).clamp_max(_LARGEST)) * velocity / (root * norms)
        return torch.cat([space, (1 / self.curvature + space.square().sum(dim=-1, keepdim=True)).sqrt()], dim=-1)

    def as_queries(self, rows: Floats, wanted: Modality) -> Floats:
        """See :class:`Similarity`; after safe traversal."""
        drawn: Floats = self.search(torch.tensor(rows), wanted).numpy()
        return drawn

    def search(self, rows: Tensor, wanted: Modality) -> Tensor:
        """See :class:`Similarity`; after safe traversal."""
        bound = self.image_bound if wanted == "image" else self.text_bound
        if bound is None:
            return rows
        limit = bound + math.tanh((bound - self.margin) / self.curvature) + 1
        return self._draw_back(rows, limit)

    def as_gallery(self, rows: Floats) -> Floats:
        """See :class:`Similarity`."""
        gallery: Floats = np.concatenate([rows[:, :-1], -rows[:, -1:]], axis=1)
        return gallery

    def as_directions(self, rows: Floats) -> Floats:
        """See :class:`Similarity`; where a point lies as seen from the root."""
        space = rows[:, :-1]
        directions: Floats = space / np.maximum(np.linalg.norm(space, axis=1, keepdims=True), 1e-12)
        return directions

    def centre(self, sums: Floats) -> Floats:
        """See :class:`Similarity`; the Lorentzian centroid."""
        inner = (sums[:, -1:] ** 2) - (sums[:, :-1] ** 2).sum(axis=1, keepdims=True)
        rows: Floats = sums / np.sqrt(self.curvature * np.maximum(inner, 1e-12))
        return rows

    def distance_from_root(self, rows: Floats) -> Floats:
        """Geodesic distance of each point from the root: ``(n,)``."""
        root = self.curvature**0.5
        found: Floats = np.arccosh(np.maximum(root * rows[:, -1], 1.0)) / root
        return found

    def _draw_back(self, rows: Tensor, limit: float) -> Tensor:
        root = self.curvature**0.5
        time = math.cosh(root * limit) / root
        directions = rows[:, :-1] / rows[:, :-1].norm(dim=1, keepdim=True).clamp_min(1e-12)
        moved = torch.cat([directions * (math.sinh(root * limit) / root), torch.full_like(rows[:, -1:], time)], dim=1)
        return torch.where(rows[:, -1:] > time, moved, rows)


_LARGEST = float(np.arcsinh(2.0**15))
"""Beyond it the space components overflow what single precision can tell apart; MERU's limit."""


def read_similarity(folder: Path) -> Similarity:
    """The similarity of a model folder: cosine, unless a file there says otherwise.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / SIMILARITY_FILE
    if not path.is_file():
        return COSINE
    try:
        return TypeAdapter(Lorentz).validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    except ValidationError as error:
        raise ConfigError("\n".join([f"{path} describes no similarity:", *list_fields(error)])) from error


def write_similarity(similarity: Similarity, folder: Path) -> None:
    """Keep a similarity beside the weights; cosine needs no file."""
    if isinstance(similarity, Lorentz):
        write_json(folder / SIMILARITY_FILE, asdict(similarity))
