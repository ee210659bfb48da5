"""The terms that objectives are made of: pure functions of L2-normalised embeddings ``(b, d)`` that return a scalar."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LOGIT_SCALE = 100.00296020507812
"""CLIP's trained inverse temperature (arXiv 2103.00020) as Safe-CLIP has it: ``exp(4.6052)`` in single precision."""


def cosine_distance(moved: Tensor, target: Tensor) -> Tensor:
    """Mean of ``1 - cos(moved[i], target[i])``: 0 where they agree, 2 where they are opposed."""
    return 1 - (moved * target).sum(dim=-1).mean()


def contrast(moved: Tensor, target: Tensor, scale: float = LOGIT_SCALE) -> Tensor:
    """Symmetric InfoNCE: row ``i`` matches row ``i``, the batch's other rows are negatives (CLIP, arXiv 2103.00020).

    The mean of both directions' cross-entropy, at least 0; ``log(b)`` where nothing is told apart.
    """
    logits = scale * moved @ target.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def prefer(moved: Tensor, wanted: Tensor, unwanted: Tensor) -> Tensor:
    """Mean ``softplus(cos(moved, unwanted) - cos(moved, wanted))``: a relative preference with one negative.

    SafeR-CLIP's relative cross-modal redirection (arXiv 2511.16743). ``log 2`` where both are equally near; there is no
    temperature, so it stays between ``softplus(-2)`` = 0.127 and ``softplus(2)`` = 2.127.
    """
    margin = (moved * unwanted).sum(dim=-1) - (moved * wanted).sum(dim=-1)
    return F.softplus(margin).mean()


def prefer_to_all(moved: Tensor, wanted: Tensor, unwanted: Tensor) -> Tensor:
    """Mean over all ``i, j`` of ``softplus(cos(moved[i], unwanted[j]) - cos(moved[i], wanted[i]))``.

    :func:`prefer` with every row of the batch as a negative, one at a time; of no paper. It has the same bounds, the same
    ``log 2`` where nothing is told apart, and is the same for a single row.
    """
    margins = moved @ unwanted.T - (moved * wanted).sum(dim=-1, keepdim=True)
    return F.softplus(margins).mean()


def prefer_in_pool(queries: Tensor, wanted: Tensor, unwanted: Tensor, scale: float) -> Tensor:
    """Cross-entropy of finding ``wanted[i]`` for ``queries[i]`` among all of ``wanted`` and ``unwanted``: a mixed pool.

    Both pools may carry gradients. ``log(2 b)`` where nothing is told apart.
    """
    logits = scale * queries @ torch.cat([wanted, unwanted]).T
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def among(rows: Tensor, term: Callable[[Tensor, Tensor], Tensor], moved: Tensor, target: Tensor) -> Tensor:
    """A term of the chosen rows alone; 0 with a gradient of 0 where none is chosen, as a mean of nothing is no number.

    Args:
        rows: which rows to take: bool ``(b,)``.
        term: such as :func:`contrast`, whose negatives then are the chosen rows alone.
        moved: ``(b, d)``.
        target: ``(b, d)``.
    """
    chosen = moved[rows]
    return term(chosen, target[rows]) if len(chosen) else chosen.sum()
