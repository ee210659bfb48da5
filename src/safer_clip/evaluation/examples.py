"""Example queries for the report: what each model retrieves first, with small pictures that are safe to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safer_clip.evaluation.oracle import nearest_rows
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.results import UNSAFE_DIRECTIONS, Direction, Gallery, GalleryQuery, Hit

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

SHOWN_HITS = 3
SIDE_PIXELS = 96
BLUR_PIXELS = 12


def choose_rows(rows: int, count: int, seed: int) -> NDArray[np.int64]:
    """Rows to show: drawn before any model is looked at, so that nobody picks the flattering ones."""
    drawn = np.random.default_rng((seed, rows)).choice(rows, size=min(count, rows), replace=False)
    return np.sort(drawn).astype(np.int64)


def collect_examples(
    name: str,
    table: Dataset,
    models: Mapping[str, QuadrupletEmbeddings],
    rows: Sequence[int] | NDArray[np.int64],
    harmless: bool = False,
) -> Gallery:
    """Answer a few unsafe queries with every model.

    Args:
        name: the benchmark's.
        table: its quadruplets.
        models: embeddings of the table by method.
        rows: the queries.
        harmless: show unsafe pictures as they are; otherwise they are blurred in the pixels.
    """
    pictures = _Thumbnails(name, table, harmless)
    captions = [*table["safe_caption"], *table["unsafe_caption"]]
    queries = []
    for direction in UNSAFE_DIRECTIONS:
        if not all(each.has("safe_image", "unsafe_image") for each in models.values()):
            break
        found = {method: _rank(embeddings, direction, rows) for method, embeddings in models.items()}
        for position, row in enumerate(map(int, rows)):
            hits = {
                method: [
                    Hit(
                        caption=captions[item],
                        picture=pictures.keep(int(item)) if direction == "T*->V" else None,
                        unsafe=bool(item >= len(table)),
                        right=bool(item == row),
                    )
                    for item in ranked[position]
                ]
                for method, ranked in found.items()
            }
            asked = pictures.keep(len(table) + row) if direction == "V*->T" else None
            caption = captions[len(table) + row]
            queries.append(GalleryQuery(benchmark=name, direction=direction, caption=caption, picture=asked, hits=hits))
    return Gallery(pictures=pictures.kept, queries=queries)


def join_galleries(galleries: Sequence[Gallery]) -> Gallery:
    """All examples in one gallery."""
    pictures = {key: uri for gallery in galleries for key, uri in gallery.pictures.items()}
    return Gallery(pictures=pictures, queries=[query for gallery in galleries for query in gallery.queries])


def _rank(embeddings: QuadrupletEmbeddings, direction: Direction, rows: Sequence[int] | NDArray[np.int64]) -> Any:
    queries, safe, unsafe = embeddings.enter(direction)
    return nearest_rows(queries[np.asarray(rows)], np.concatenate([safe, unsafe]), SHOWN_HITS)


class _Thumbnails:
    """Pictures of a mixed pool, made once when first asked for: item ``i`` is safe, item ``rows + i`` unsafe."""

    def __init__(self, name: str, table: Dataset, harmless: bool) -> None:
        self.name, self.table, self.harmless = name, table, harmless
        self.kept: dict[str, str] = {}

    def keep(self, item: int) -> str:
        row, unsafe = item % len(self.table), item >= len(self.table)
        side = "unsafe_image" if unsafe else "safe_image"
        key = f"{self.name}/{row}/{side}"
        if key not in self.kept:
            image = self.table.select([row])[0][side]
            self.kept[key] = _embed(_shrink(image, blur=unsafe and not self.harmless))
        return key


def _shrink(image: Image, blur: bool) -> Image:
    from PIL import ImageFilter

    small = image.convert("RGB")
    small.thumbnail((SIDE_PIXELS, SIDE_PIXELS))
    return small.filter(ImageFilter.GaussianBlur(BLUR_PIXELS)) if blur else small


def _embed(image: Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
