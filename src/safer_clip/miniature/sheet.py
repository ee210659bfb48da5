"""A contact sheet of the world: quadruplets of both benchmarks, safe above unsafe, with their captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from safer_clip.miniature.rendering import render_image
from safer_clip.miniature.scenes import Scene
from safer_clip.miniature.splits import ScenePair, draw_pairs

ZOOM = 3
CELL = 48 * ZOOM
CAPTION = 40
GAP = 8
COLUMNS = 8


def draw_contact_sheet(per_benchmark: int = 2 * COLUMNS) -> Image.Image:
    """Draw the first quadruplets of Mini-ViSU's and Mini-NSFW-Caps' test splits."""
    pairs = [pair for name in ("mini_visu", "mini_nsfw_caps") for pair in draw_pairs(name)[:per_benchmark]]
    rows = [pairs[i : i + COLUMNS] for i in range(0, len(pairs), COLUMNS)]
    height = 2 * (CELL + CAPTION) + 2 * GAP
    sheet = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, len(rows) * height + GAP), "white")
    for index, row in enumerate(rows):
        _draw_row(sheet, row, index * height + GAP)
    return sheet


def _draw_row(sheet: Image.Image, row: Sequence[ScenePair], top: int) -> None:
    for column, pair in enumerate(row):
        left = GAP + column * (CELL + GAP)
        _draw_cell(sheet, pair.safe, pair.safe_caption, (left, top))
        _draw_cell(sheet, pair.unsafe, pair.unsafe_caption, (left, top + CELL + CAPTION))


def _draw_cell(sheet: Image.Image, scene: Scene, caption: str, corner: tuple[int, int]) -> None:
    sheet.paste(render_image(scene).resize((CELL, CELL), Image.Resampling.NEAREST), corner)
    text = "\n".join(textwrap.wrap(caption, 26)[:3])
    colour = "#a02020" if scene.unsafe else "#202020"
    font = ImageFont.load_default(10)
    ImageDraw.Draw(sheet).multiline_text((corner[0], corner[1] + CELL + 2), text, fill=colour, font=font, spacing=2)
