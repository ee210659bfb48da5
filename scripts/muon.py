"""Muon in single precision: the optimizer that pre-trains the miniature CLIP.

``torch.optim.Muon`` orthogonalises in bfloat16, which most CPUs emulate, hundreds of times more slowly than they multiply
single precision; there is no option to change that. This is the same rule in the parameters' own precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalize(matrix: Tensor) -> Tensor:
    """Bring all singular values near 1 (between about 0.7 and 1.2) by five Newton-Schulz iterations: ``(m, n)``."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose matrix is orthogonalised before it is applied (https://kellerjordan.github.io/posts/muon/).

    For matrices of hidden layers only. Updates are scaled to the size of AdamW's (arXiv 2502.16982, section 2.2), so that
    AdamW's learning rate and weight decay serve.

    Args:
        params: two-dimensional parameters.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        momentum: decay of the running mean of gradients.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(list(params), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every parameter once."""
        for group in self.param_groups:
            for parameter in group["params"]:
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalize(parameter.grad.lerp(mean, group["momentum"]))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(parameter.shape)))
