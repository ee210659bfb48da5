"""Removal: the target of an unsafe item is the item itself without what makes it unsafe.

A nearest safe item shares with an unsafe one what pairing by similarity happens to find, and differs in all the rest. But
the differences of all pairs together span few directions, in which unsafe items differ from safe ones whatever else they
show. Taking those out of an item's own embedding keeps the rest of it; what is missing then is drawn from the middle of its
near safe neighbours, where accidents of single ones cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safer_clip.errors import ConfigError
from safer_clip.pairing import Floats, Mixture, mix_rows, nearest_several


@dataclass(frozen=True, slots=True)
class RemovalSettings:
    """How far unsafe items of a modality are moved.

    Attributes:
        share: of the squared length of all differences that the directions have to hold, from 0 to 1.
        strength: how much of them is taken out: 1 all, 0 nothing.
        drawn: from 0, the item without its unsafe directions, to 1, the middle of its neighbours.
        neighbours: how many safe items of the same modality that is the middle of.
    """

    share: float
    strength: float
    drawn: float
    neighbours: int


@dataclass(frozen=True, slots=True)
class Removal:
    """Where the unsafe items of a modality are sent.

    Attributes:
        directions: orthonormal, in which unsafe items differ from their safe partners: ``(d, r)``.
        neighbours: near safe items of every unsafe one, of the same modality.
        settings: how far they are moved.
    """

    directions: NDArray[np.float32]
    neighbours: Mixture
    settings: RemovalSettings

    def find_targets(self, unsafe: Floats, safe: Floats, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Targets of some rows.

        Args:
            unsafe: store of unsafe embeddings, ``(n, d)``.
            safe: likewise of safe ones.
            rows: of which items, ``(b,)``.

        Returns:
            ``(b, d)``, L2-normalised.
        """
        own = remove(np.asarray(unsafe[rows], np.float32), self.directions, self.settings.strength)
        drawn = self.settings.drawn
        if not drawn:
            return own
        near = mix_rows(safe, Mixture(self.neighbours.rows[rows], self.neighbours.weights[rows]))
        return _normalise((1 - drawn) * own + drawn * near)


def plan_removal(unsafe: Floats, safe: Floats, targets: NDArray[np.int64], settings: RemovalSettings) -> Removal:
    """Find what separates unsafe items of a modality from their safe partners, and each one's safe neighbours.

    Args:
        unsafe: ``(n, d)``, L2-normalised as the frozen model embeds them.
        safe: ``(m, d)`` likewise.
        targets: safe partner of each unsafe item, ``(n,)``.
        settings: how far they are moved.

    Raises:
        ConfigError: a number is out of its range.
    """
    if not (0 <= settings.share <= 1 and 0 <= settings.drawn <= 1 and settings.strength >= 0 and settings.neighbours >= 1):
        raise ConfigError(
            f"removal takes a share and a draw from 0 to 1, no negative strength and at least one neighbour, got {settings}"
        )
    directions, lengths = span_differences(unsafe, safe[targets])
    held = np.cumsum(lengths) / max(lengths.sum(), np.finfo(np.float64).tiny)
    rank = min(int(np.searchsorted(held, settings.share)) + 1, len(held)) if settings.share else 0
    rows, _ = nearest_several(unsafe, safe, settings.neighbours)
    weights = np.full(rows.shape, 1 / rows.shape[1], np.float32)
    return Removal(directions[:, :rank].astype(np.float32), Mixture(rows, weights), settings)


def span_differences(unsafe: Floats, safe: Floats) -> tuple[Floats, Floats]:
    """Orthonormal directions in which unsafe items differ from their safe partners, those in which they differ most first.

    Args:
        unsafe: ``(n, d)``.
        safe: row ``i`` is the partner of row ``i``: ``(n, d)``.

    Returns:
        The directions ``(d, d)``, and how much of all differences' squared length each one holds: ``(d,)``.
    """
    difference = np.asarray(unsafe, np.float64) - safe
    # through the moments, d x d: the differences themselves may be many
    lengths, directions = np.linalg.eigh(difference.T @ difference)
    return np.ascontiguousarray(directions[:, ::-1]), lengths[::-1].clip(min=0.0)


def remove(rows: NDArray[np.float32], directions: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """Take directions out of rows, ``(b, d)`` and ``(d, r)``, and normalise what is left; nothing stays nothing."""
    return _normalise(rows - strength * (rows @ directions) @ directions.T)


def _normalise(rows: Floats) -> NDArray[np.float32]:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit.astype(np.float32)
