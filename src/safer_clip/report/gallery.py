"""Example queries with what every method retrieves first."""

from __future__ import annotations

from dataclasses import dataclass

from safer_clip.report.errors import ReportError
from safer_clip.report.wording import arrow
from safer_clip.results import Gallery, GalleryQuery, Hit, Results


@dataclass(frozen=True, slots=True)
class Item:
    """One picture or caption, and how it is marked: ``right``, ``unsafe`` or ``other``."""

    caption: str
    uri: str | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One query: where and which way it was asked, the query itself, and each method's items by title."""

    benchmark: str
    direction: str
    query: Item
    hits: list[tuple[str, list[Item]]]


def build_examples(results: Results) -> list[Example]:
    """Build the gallery.

    Raises:
        ReportError: a picture is no ``data:image/`` URI, or is named but absent.
    """
    gallery = results.gallery
    for key, uri in gallery.pictures.items():
        if not uri.startswith("data:image/"):
            raise ReportError(f"gallery picture {key!r} is not a data:image/ URI but {uri[:40]!r}; embed the picture itself")
    return [_example(results, query) for query in gallery.queries]


def _example(results: Results, query: GalleryQuery) -> Example:
    pictured = query.picture is not None and query.direction.startswith("V")
    uri = _uri(results.gallery, query.picture) if pictured else None
    hits = [
        (results.methods[key].title if key in results.methods else key, [_item(results.gallery, hit) for hit in found])
        for key, found in query.hits.items()
    ]
    return Example(query.benchmark, arrow(query.direction), Item(query.caption, uri), hits)


def _item(gallery: Gallery, hit: Hit) -> Item:
    mark = "right" if hit.right else "unsafe" if hit.unsafe else "other"
    return Item(hit.caption, _uri(gallery, hit.picture), mark)


def _uri(gallery: Gallery, key: str | None) -> str | None:
    if key is None:
        return None
    if key not in gallery.pictures:
        raise ReportError(f"gallery picture {key!r} is named by a query but is not in gallery.pictures")
    return gallery.pictures[key]
