"""Progressive training: close pairs first, then the harder ones (SafeR-CLIP, arXiv 2511.16743)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from safer_clip.errors import ConfigError

PAPER_SHARES = (1 / 3, 2 / 3)
"""Share of the pairs in use in the first and second epoch: the paper names no thresholds; easy, medium, hard are thirds."""

CurriculumOrder = Literal["easy", "hard"]
"""Which pairs a curriculum begins with: the most similar ones, as in the paper, or the least similar ones."""


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """The rows in the order in which they are trained on, all epochs in one sequence.

    A curriculum's epochs differ in length. One known sequence makes the place of a run a single number, its step, and so
    a run that was interrupted anywhere goes on exactly where it was.

    Attributes:
        rows: int64 ``(total,)``, whole batches only.
        epoch_ends: number of batches after which each epoch ends.
        batch_size: rows a batch.
    """

    rows: NDArray[np.int64]
    epoch_ends: tuple[int, ...]
    batch_size: int

    @property
    def steps(self) -> int:
        """Number of batches."""
        return self.epoch_ends[-1] if self.epoch_ends else 0


def select_rows(
    difficulty: NDArray[np.floating], epoch: int, shares: Sequence[float], first: CurriculumOrder = "easy"
) -> NDArray[np.int64]:
    """Rows that take part in an epoch, the most similar pairs first, or the least similar ones.

    Args:
        difficulty: safe-unsafe caption cosine of each pair ``(n,)``; the larger, the easier.
        epoch: from 0.
        shares: share of the pairs in use in each of the first epochs; later ones use all.
        first: which pairs the first epochs use.

    Returns:
        int64 ``(k,)``, ``k`` at least 1. Ties keep the data's order.
    """
    share = shares[epoch] if epoch < len(shares) else 1.0
    ranked = np.argsort(-difficulty if first == "easy" else difficulty, kind="stable")
    return ranked[: max(1, round(share * len(difficulty)))].astype(np.int64)


def order_training(
    difficulty: NDArray[np.floating],
    epochs: int,
    batch_size: int,
    seed: int,
    shares: Sequence[float] = PAPER_SHARES,
    first: CurriculumOrder = "easy",
) -> TrainingOrder:
    """Lay out all epochs: each shuffles the rows that it uses.

    An epoch's last, incomplete batch is left out, since objectives with in-batch negatives depend on the batch's size.

    Args:
        difficulty: see :func:`select_rows`; its length is the number of rows.
        epochs: at least 1.
        batch_size: rows a batch.
        seed: same seed, same order.
        shares: empty for no curriculum.
        first: which pairs the first epochs use.

    Raises:
        ConfigError: a number is out of range, a share is not in ``(0, 1]``, shares shrink, or an epoch has fewer rows than a
            batch.
    """
    if epochs < 1 or batch_size < 1 or seed < 0:
        raise ConfigError(f"epochs and batch_size must be at least 1, seed at least 0; got {epochs}, {batch_size}, {seed}")
    if any(not 0 < share <= 1 for share in shares) or list(shares) != sorted(shares):
        raise ConfigError(f"curriculum shares must grow within (0, 1], got {list(shares)}")
    rows, ends, batches = [], [], 0
    for epoch in range(epochs):
        used = select_rows(difficulty, epoch, shares, first)
        if len(used) < batch_size:
            raise ConfigError(
                f"epoch {epoch + 1} has {len(used)} rows, fewer than a batch of {batch_size}; "
                "lower batch_size, use more data, or raise the curriculum's shares"
            )
        shuffled = np.random.default_rng((seed, epoch)).permutation(used)
        whole = len(shuffled) // batch_size
        rows.append(shuffled[: whole * batch_size])
        batches += whole
        ends.append(batches)
    return TrainingOrder(np.concatenate(rows), tuple(ends), batch_size)
