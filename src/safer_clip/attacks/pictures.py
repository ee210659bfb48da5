"""Changes of pictures within an L-infinity ball by projected gradient steps (PGD; Madry et al., arXiv 1706.06083).

A picture is changed as the model sees it, after resizing and cropping, in whole levels of 8 bits: what is measured could be
stored as a picture. A ball's radius is told in such levels, so 4 is the 4/255 of the literature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safer_clip.attacks.gradients import differentiate_pixels
from safer_clip.attacks.targets import Targets
from safer_clip.errors import ConfigError
from safer_clip.models.dual_encoder import DualEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

LEVELS = 255
_ROWS = 64
_STRIDE = 2.5  # Madry's: a step of 2.5 radii over the number of steps can cross the ball


@dataclass(frozen=True)
class Lens:
    """How 8-bit levels become the model's pixels: ``(level / 255 - mean) / std``, channel by channel.

    Attributes:
        mean: ``(3, 1, 1)``.
        std: ``(3, 1, 1)``.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, encoder: DualEncoder) -> Lens:
        """Read the image processor.

        Raises:
            ConfigError: the model takes patches instead of pixels.
        """
        if encoder.model.config.model_type == "siglip2":
            raise ConfigError(
                "pictures of a model of free resolution (NaFlex) cannot be attacked: it takes patches, no pixels"
            )
        processor = encoder.processor
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ([0.0] * 3, [1.0] * 3)
        place = {"device": encoder.model.device}
        return cls(torch.tensor(mean, **place).view(3, 1, 1), torch.tensor(std, **place).view(3, 1, 1))

    def to_pixels(self, levels: Tensor) -> Tensor:
        """What the model takes."""
        return (levels / LEVELS - self.mean) / self.std

    def to_levels(self, pixels: Tensor) -> Tensor:
        """Whole levels from 0 to 255."""
        return ((pixels * self.std + self.mean) * LEVELS).round().clamp(0, LEVELS)


def attack_pictures(
    encoder: DualEncoder, images: Sequence[Image], targets: Targets, radii: Sequence[int], steps: int, seed: int
) -> NDArray[np.float64]:
    """The best margin found within each ball; a ball holds all smaller ones, so it never falls.

    Args:
        encoder: the model under attack.
        images: ``(n,)``.
        targets: one for each picture.
        radii: of the balls, in levels, rising.
        steps: gradient steps in each ball.
        seed: of the random starts.

    Returns:
        ``(1 + radii, n)``; row 0 is before the attack.
    """
    lens = Lens.of(encoder)
    pixels = encoder.preparation.prepare_images(images)["pixel_values"].to(encoder.model.device)
    levels = lens.to_levels(pixels)
    best = _judge_levels(encoder, lens, levels, targets)
    history = [best]
    for radius in radii:
        noise = torch.rand(levels.shape, generator=torch.Generator().manual_seed(seed * (LEVELS + 1) + radius))
        starts = (levels + radius * (2 * noise - 1).to(levels.device)).clamp(0, LEVELS)
        active = torch.nonzero(best <= 0).squeeze(1)
        best = best.clone()
        for rows in torch.split(active, _ROWS) if len(active) else ():
            climb = Climb(encoder, lens, targets, rows, radius, steps)
            best[rows] = torch.maximum(best[rows], climb.run(levels[rows], starts[rows])[0])
        history.append(best)
    return torch.stack(history).double().cpu().numpy()


@dataclass(frozen=True)
class Climb:
    """Gradient steps within one ball, for some of the pictures.

    Attributes:
        encoder: the model under attack.
        lens: its normalisation.
        targets: of all pictures.
        rows: which of the targets these pictures aim at, ``(k,)``.
        radius: of the ball, in levels.
        steps: gradient steps.
    """

    encoder: DualEncoder
    lens: Lens
    targets: Targets
    rows: Tensor
    radius: int
    steps: int

    def run(self, levels: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Climb from a start in the ball around the levels ``(k, 3, height, width)``.

        Returns:
            The best margin ``(k,)`` of all pictures on the way, and those pictures in whole levels.
        """
        low, high = (levels - self.radius).clamp(min=0), (levels + self.radius).clamp(max=LEVELS)
        stride = _STRIDE * self.radius / max(self.steps, 1)
        position, best, found = start, torch.full_like(start[:, 0, 0, 0], -torch.inf), levels.clone()
        for _ in range(self.steps + 1):
            picture = position.round()  # the ball's faces are whole levels, so rounding does not leave it
            margins, gradients = differentiate_pixels(self.encoder, self.lens.to_pixels(picture), self._score)
            better = margins > best
            best, found[better] = torch.where(better, margins, best), picture[better]
            position = torch.clamp(position + stride * gradients.sign(), low, high)
        return best, found

    def _score(self, queries: Tensor) -> Tensor:
        return self.targets.measure_margins(queries, self.rows)


def _judge_levels(encoder: DualEncoder, lens: Lens, levels: Tensor, targets: Targets) -> Tensor:
    parts = []
    for rows in torch.split(torch.arange(len(levels), device=levels.device), _ROWS):
        still = Climb(encoder, lens, targets, rows, radius=0, steps=0)
        parts.append(still.run(levels[rows], levels[rows])[0])
    return torch.cat(parts)
