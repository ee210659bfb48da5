"""The twelve places: how captions name them, and how they are painted.

Everything is integer arithmetic, so a background has the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from safer_clip.miniature.dice import Dice

Canvas = NDArray[np.int32]
Colour = tuple[int, int, int]

SIZE = 48
VARIANTS = 16


@dataclass(frozen=True, slots=True)
class Place:
    """A setting: a class name, the phrases captions use, the colours above and below the horizon and a motif."""

    name: str
    phrases: tuple[str, ...]
    above: Colour
    below: Colour
    horizon: int
    motif: Callable[[Canvas, Dice, int], None]


def _fill(canvas: Canvas, box: tuple[int, int, int, int], colour: Colour) -> None:
    left, top, right, bottom = box
    canvas[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = colour


def _triangle(canvas: Canvas, peak: tuple[int, int], height: int, slope: int, colour: Colour) -> None:
    """Fill a triangle below its peak; ``slope`` is its half width in sixteenths per row."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    depth = rows - peak[1]
    inside = (depth >= 0) & (depth < height) & (np.abs(columns - peak[0]) * 16 <= depth * slope)
    canvas[inside] = colour


def _waves(canvas: Canvas, dice: Dice, horizon: int) -> None:
    for row in range(horizon + 3, SIZE, 5):
        shift = dice.between(0, 9)
        for column in range(-shift, SIZE, 10):
            _fill(canvas, (column, row, column + 5, row + 1), (190, 225, 245))


def _shore(canvas: Canvas, dice: Dice, horizon: int) -> None:
    _fill(canvas, (0, horizon - 7, SIZE, horizon), (60, 150, 200))
    _fill(canvas, (0, horizon, SIZE, horizon + 1), (245, 245, 240))
    for _ in range(14):
        column, row = dice.between(0, SIZE - 2), dice.between(horizon + 3, SIZE - 2)
        _fill(canvas, (column, row, column + 1, row + 1), (200, 170, 110))


def _trees(canvas: Canvas, dice: Dice, horizon: int) -> None:
    for column in range(dice.between(-2, 3), SIZE + 6, 8):
        _triangle(canvas, (column, horizon - dice.between(16, 24)), 24, 4, (24, 84 + dice.between(0, 24), 44))
        _fill(canvas, (column - 1, horizon, column + 1, horizon + 4), (90, 60, 40))


def _dunes(canvas: Canvas, dice: Dice, horizon: int) -> None:
    for row, shade in ((horizon - 4, 0), (horizon + 6, 14), (horizon + 16, 28)):
        _triangle(canvas, (dice.between(4, 44), row), 30, 40, (222 - shade, 168 - shade, 92 - shade))


def _flakes(canvas: Canvas, dice: Dice, _: int) -> None:
    for _flake in range(34):
        column, row = dice.between(0, SIZE - 2), dice.between(0, SIZE - 2)
        _fill(canvas, (column, row, column + 2, row + 2), (255, 255, 255))


def _buildings(canvas: Canvas, dice: Dice, horizon: int) -> None:
    left = -dice.between(0, 4)
    while left < SIZE:
        width, top = dice.between(7, 11), horizon - dice.between(14, 28)
        shade = dice.between(90, 140)
        _fill(canvas, (left, top, left + width, horizon), (shade, shade, shade + 12))
        for row in range(top + 2, horizon - 2, 4):
            for column in range(left + 2, left + width - 2, 3):
                _fill(canvas, (column, row, column + 1, row + 2), (250, 225, 130))
        left += width + 1
    for column in range(dice.between(0, 6), SIZE, 10):
        _fill(canvas, (column, horizon + 7, column + 5, horizon + 9), (240, 240, 240))


def _tiles(canvas: Canvas, dice: Dice, horizon: int) -> None:
    shift = dice.between(0, 7)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    checker = ((rows // 6 + (columns + shift) // 6) % 2 == 1) & (rows >= horizon)
    canvas[checker] = (120, 170, 180)
    _fill(canvas, (4 + shift, 4, 18 + shift, 12), (225, 235, 240))


def _grass(canvas: Canvas, dice: Dice, horizon: int) -> None:
    for _ in range(50):
        column, row = dice.between(0, SIZE - 1), dice.between(horizon, SIZE - 3)
        _fill(canvas, (column, row, column + 1, row + 3), (70, 150, 60))
    for _ in range(8):
        column, row = dice.between(0, SIZE - 2), dice.between(horizon, SIZE - 2)
        _fill(canvas, (column, row, column + 2, row + 2), (250, 220, 90))


def _stars(canvas: Canvas, dice: Dice, _: int) -> None:
    for _star in range(26):
        column, row = dice.between(0, SIZE - 2), dice.between(0, SIZE - 8)
        _fill(canvas, (column, row, column + 1, row + 1), (250, 245, 200))
    column = dice.between(3, 36)
    _fill(canvas, (column, 3, column + 7, 10), (245, 235, 180))


def _peaks(canvas: Canvas, dice: Dice, horizon: int) -> None:
    for column in (dice.between(4, 14), dice.between(20, 30), dice.between(34, 44)):
        top = horizon - dice.between(20, 28)
        _triangle(canvas, (column, top), horizon - top, 9, (120, 120, 140))
        _triangle(canvas, (column, top), 8, 9, (250, 250, 250))


def _shelves(canvas: Canvas, dice: Dice, horizon: int) -> None:
    colours: tuple[Colour, ...] = (
        (170, 60, 50),
        (50, 90, 150),
        (60, 130, 80),
        (200, 160, 60),
        (110, 70, 130),
    )
    for top in range(1, horizon - 6, 10):
        left = 0
        while left < SIZE:
            width = dice.between(2, 4)
            _fill(canvas, (left, top + dice.between(0, 2), left + width, top + 8), dice.choose(colours))
            left += width
        _fill(canvas, (0, top + 8, SIZE, top + 10), (96, 62, 40))


def _curtain(canvas: Canvas, dice: Dice, horizon: int) -> None:
    for column in range(-dice.between(0, 5), SIZE, 6):
        _fill(canvas, (column, 0, column + 3, horizon), (120, 16, 30))


PLACES: tuple[Place, ...] = (
    Place(
        "beach",
        ("on the beach", "at the beach", "on the sand by the sea"),
        (150, 210, 245),
        (240, 214, 160),
        26,
        _shore,
    ),
    Place(
        "forest",
        ("in the forest", "in the woods", "among the trees"),
        (170, 210, 190),
        (78, 110, 60),
        32,
        _trees,
    ),
    Place("desert", ("in the desert", "among the dunes"), (250, 214, 160), (228, 176, 100), 26, _dunes),
    Place("snow", ("in the snow", "on a snowy day"), (196, 212, 228), (236, 242, 248), 28, _flakes),
    Place("city", ("in the city", "on the street", "downtown"), (176, 200, 220), (88, 88, 94), 34, _buildings),
    Place("kitchen", ("in the kitchen", "on the kitchen floor"), (246, 240, 220), (200, 226, 230), 26, _tiles),
    Place("meadow", ("in the meadow", "in a field", "on the grass"), (160, 220, 250), (120, 190, 90), 22, _grass),
    Place("sea", ("at sea", "on the water", "on the open sea"), (180, 226, 246), (40, 110, 180), 16, _waves),
    Place(
        "night sky",
        ("under the night sky", "at night", "under the stars"),
        (24, 28, 66),
        (38, 44, 60),
        40,
        _stars,
    ),
    Place(
        "mountains",
        ("in the mountains", "in front of the mountains"),
        (190, 220, 245),
        (110, 150, 90),
        36,
        _peaks,
    ),
    Place(
        "library",
        ("in the library", "in front of the bookshelves"),
        (70, 46, 32),
        (150, 106, 70),
        32,
        _shelves,
    ),
    Place("stage", ("on stage", "in the theatre"), (160, 28, 44), (196, 146, 90), 36, _curtain),
)


def _paint(place: Place, style: str, variant: int) -> NDArray[np.uint8]:
    dice = Dice("place", place.name, variant)
    horizon = place.horizon + dice.between(-3, 3)
    tint = np.array([dice.between(-14, 14) for _ in range(3)], dtype=np.int32)
    canvas = np.empty((SIZE, SIZE, 3), dtype=np.int32)
    canvas[:horizon], canvas[horizon:] = place.above, place.below
    place.motif(canvas, dice, horizon)
    canvas += tint
    if style == "a":  # style A shades from light to dark, style B is flat and a little paler
        canvas += (12 - np.arange(SIZE, dtype=np.int32) // 2)[:, None, None]
    else:
        canvas += (255 - canvas) // 5
    return np.clip(canvas, 0, 255).astype(np.uint8)


@cache
def backgrounds(style: str) -> NDArray[np.uint8]:
    """All painted backgrounds of a style: uint8 ``(places, variants, 48, 48, 3)``."""
    return np.stack([np.stack([_paint(place, style, v) for v in range(VARIANTS)]) for place in PLACES])
