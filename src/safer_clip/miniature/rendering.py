"""Painting scenes: 48-pixel RGB pictures from the atlas, in integer arithmetic alone.

No library's resampling is used, so a scene has the same bytes with every version of every library.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safer_clip.miniature.places import SIZE, backgrounds
from safer_clip.miniature.scenes import Drawn, Scene, Style

TILE = 32
COLUMNS = 24

Pixels = NDArray[np.uint8]


@cache
def load_atlas(style: Style) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The artwork of a style at 32 and at 16 pixels.

    Returns:
        Two int32 arrays ``(things, 34 * 34 or 18 * 18, 4)``: premultiplied RGBA with a transparent border of one pixel, so
        that sampling never leaves a tile.
    """
    with resources.files("safer_clip.miniature").joinpath(f"assets/atlas-{style}.png").open("rb") as file:
        sheet = np.asarray(Image.open(file).convert("RGBA"), dtype=np.int32)
    rows = sheet.shape[0] // TILE
    tiles = sheet.reshape(rows, TILE, COLUMNS, TILE, 4).swapaxes(1, 2).reshape(-1, TILE, TILE, 4).copy()
    tiles[..., :3] = (tiles[..., :3] * tiles[..., 3:] + 127) // 255
    half = (tiles.reshape(-1, TILE // 2, 2, TILE // 2, 2, 4).sum(axis=(2, 4)) + 2) // 4
    return _border(tiles), _border(half)


def _border(tiles: NDArray[np.int32]) -> NDArray[np.int32]:
    padded = np.pad(tiles, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return padded.reshape(len(tiles), -1, 4)


@cache
def _sampling(size: int, angle: int, flipped: bool, side: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Where each pixel of a drawn picture reads from: indices ``(4, n * n)`` and weights ``(4, n * n, 1)`` out of 256.

    ``n`` is the side of the square that holds the turned picture; ``side`` that of the source tile.
    """
    extent = _extent(size, angle)
    centred = 2 * np.arange(extent, dtype=np.int64) - (extent - 1)  # in half pixels
    scale = side / size
    cosine, sine = (round(f(radians(angle)) * scale * 4096) for f in (cos, sin))
    across, down = centred[None, :], centred[:, None]
    x = (cosine * across + sine * down) * (-1 if flipped else 1)
    y = cosine * down - sine * across
    # half pixels * 4096 -> pixels * 16, then from the tile's middle to its bordered corner
    x, y = (np.clip(v * 16 // 8192 + 8 * (side + 1), 0, 16 * (side + 1) - 1) for v in (x, y))
    left, top, right_part, down_part = x >> 4, y >> 4, x & 15, y & 15
    corner = (top * (side + 2) + left).ravel()
    indices = np.stack([corner, corner + 1, corner + side + 2, corner + side + 3]).astype(np.intp)
    weights = np.stack(
        [
            (16 - right_part) * (16 - down_part),
            right_part * (16 - down_part),
            (16 - right_part) * down_part,
            right_part * down_part,
        ]
    )
    return indices, weights.reshape(4, -1, 1).astype(np.int32)


@cache
def _extent(size: int, angle: int) -> int:
    turn = radians(abs(angle))
    return int(size * (cos(turn) + sin(turn))) + 1


def _picture(style: Style, thing: int, size: int, angle: int, flipped: bool) -> NDArray[np.int32]:
    """A thing drawn at a size and angle: premultiplied RGBA ``(n, n, 4)``."""
    large, small = load_atlas(style)
    tiles, side = (large, TILE) if size > 20 else (small, TILE // 2)
    indices, weights = _sampling(size, angle, flipped, side)
    extent = _extent(size, angle)
    blended: NDArray[np.int32] = (tiles[thing][indices] * weights).sum(axis=0) >> 8
    return blended.reshape(extent, extent, 4)


def _paste(canvas: NDArray[np.int32], style: Style, drawn: Drawn) -> None:
    picture = _picture(style, drawn.thing.index, drawn.size, drawn.angle, drawn.flipped)
    extent = len(picture)
    left, top = drawn.x - extent // 2, drawn.y - extent // 2
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + extent, SIZE), min(top + extent, SIZE)
    part = picture[y0 - top : y1 - top, x0 - left : x1 - left]
    region = canvas[y0:y1, x0:x1]
    region *= 255 - part[..., 3:]
    region += 127
    region //= 255
    region += part[..., :3]


def render(scene: Scene) -> Pixels:
    """Paint a scene.

    Returns:
        uint8 array ``(48, 48, 3)``, RGB, the same bytes on every machine.
    """
    canvas = backgrounds(scene.style)[scene.place, scene.backdrop].astype(np.int32)
    canvas *= scene.light
    canvas >>= 6
    np.minimum(canvas, 255, out=canvas)
    for drawn in scene.subjects:
        _paste(canvas, scene.style, drawn)
    if scene.accessory is not None:
        _paste(canvas, scene.style, scene.accessory)
    pixels: Pixels = np.minimum(canvas, 255).astype(np.uint8)
    return pixels


def render_image(scene: Scene) -> Image.Image:
    """Paint a scene as a Pillow picture of 48 by 48 pixels."""
    return Image.fromarray(render(scene))
