"""The rewriter of the miniature world: no model, no network, the same answers everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from safer_clip.benchmark.candidates import Candidate
from safer_clip.benchmark.rewriting import Record, Rewrite
from safer_clip.benchmark.world import caption_scene, draw_source_scene, make_unsafe, read_index

BATCH = 1000


class OfflineRewriter:
    """Swaps or adds a harmless stand-in of the vocabulary's unsafe families, in the scene and so in the caption.

    Args:
        seed: of the source's scenes.
    """

    name = "offline"
    version = "1"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def rewrite(self, candidates: Sequence[Candidate], answered: dict[str, int], record: Record) -> None:
        """See :class:`~safer_clip.benchmark.rewriting.Rewriter`; refuses scenes that have no unsafe variant."""
        for start in range(0, len(candidates), BATCH):
            record([self._rewrite(candidate) for candidate in candidates[start : start + BATCH]])

    def _rewrite(self, candidate: Candidate) -> Rewrite:
        index = read_index(candidate.id)
        scene = make_unsafe(draw_source_scene(self.seed, index), self.seed, index)
        if scene is None or scene.accessory is None:
            return Rewrite(candidate.id, "refused")
        thing = scene.accessory.thing
        return Rewrite(candidate.id, "rewritten", caption_scene(scene, self.seed, index), thing.category, thing.name)
