"""SafeR-CLIP+: redirect each unsafe item to itself without what makes it unsafe; this project's own, of no paper.

It goes further on SafeR-CLIP's way (arXiv 2511.16743), minimal intervention, in three places. The *target* of an unsafe item
is its own embedding without the directions in which unsafe items differ from their nearest safe partners
(:mod:`safer_clip.removal`): what it shows besides stays, where a nearest neighbour shows something else. Redirection across
modalities is a *contrast with the gallery as it becomes*: a query has to prefer its target to all unsafe items of the batch
where the model in training puts them, not where the frozen model had them, since that is what it will be searched among.
*Preservation* weighs more, as targets so near leave less to be paid for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.models.similarity import Modality
from safer_clip.objectives.base import SIDES, Reference, Side, Sides, Terms, weigh_terms
from safer_clip.objectives.terms import contrast, cosine_distance, prefer_in_pool
from safer_clip.pairing import Pairing
from safer_clip.removal import Removal, RemovalSettings, plan_removal


@dataclass(frozen=True, slots=True)
class SaferPlusObjective:
    """Removal targets, redirection against the gallery in training, and preservation.

    ``t^`` and ``v^`` are the targets of the row's own caption and image.

    Attributes:
        text_redirection: weight of ``T(t*)`` preferring ``v^`` to all ``v^`` and ``V(v*)`` of the batch.
        image_redirection: likewise of ``V(v*)`` preferring ``t^``.
        scale: inverse temperature of both.
        text_proximity: weight of the cosine distance of ``T(t*)`` to ``t^``.
        image_proximity: likewise of ``V(v*)`` to ``v^``.
        preservation: weight of the cosine distances ``V(v)`` to ``V0(v)`` and ``T(t)`` to ``T0(t)``.
        cross_preservation: weight of InfoNCE between ``V(v)`` and ``T0(t)``, ``T(t)`` and ``V0(v)``.
        text_share: of the differences' squared length, that is taken out of captions; ``image_share`` likewise of images.
        text_strength: how much of it is taken out; ``image_strength`` likewise.
        text_drawn: how far what is left is drawn to the middle of near safe captions; ``image_drawn`` likewise.
        text_neighbours: how many those are; ``image_neighbours`` likewise.
    """

    sides: ClassVar[tuple[Side, ...]] = SIDES
    needs_labels: ClassVar[bool] = False

    text_redirection: float = 0.1
    image_redirection: float = 0.1
    scale: float = 30.0
    text_proximity: float = 1.0
    image_proximity: float = 1.0
    preservation: float = 16.0
    cross_preservation: float = 0.4
    text_share: float = 0.8
    image_share: float = 0.78
    text_strength: float = 0.75
    image_strength: float = 1.0
    text_drawn: float = 1.0
    image_drawn: float = 0.7
    text_neighbours: float = 1
    image_neighbours: float = 10

    def __call__(self, trained: Sides, reference: Reference) -> Terms:
        """Eight weighted terms; shapes as in :class:`Sides` and :class:`Reference`."""
        own, text, image = reference.own, reference.target_text, reference.target_image
        keep, match = self.preservation, self.cross_preservation
        text_query = (trained.unsafe_text, image, trained.unsafe_image, self.scale)
        image_query = (trained.unsafe_image, text, trained.unsafe_text, self.scale)
        return weigh_terms(
            {
                "redirect_image_to_text": (self.image_redirection, prefer_in_pool, image_query),
                "redirect_text_to_image": (self.text_redirection, prefer_in_pool, text_query),
                "redirect_image": (self.image_proximity, cosine_distance, (trained.unsafe_image, image)),
                "redirect_text": (self.text_proximity, cosine_distance, (trained.unsafe_text, text)),
                "preserve_image": (keep, cosine_distance, (trained.safe_image, own.safe_image)),
                "preserve_text": (keep, cosine_distance, (trained.safe_text, own.safe_text)),
                "preserve_image_to_text": (match, contrast, (trained.safe_image, own.safe_text)),
                "preserve_text_to_image": (match, contrast, (trained.safe_text, own.safe_image)),
            }
        )

    def plan_removals(self, embedded: QuadrupletEmbeddings, pairing: Pairing) -> Mapping[Modality, Removal]:
        """What is taken out of each modality that the data have; see :func:`~safer_clip.removal.plan_removal`."""
        chosen: dict[Modality, RemovalSettings] = {
            "text": RemovalSettings(self.text_share, self.text_strength, self.text_drawn, int(self.text_neighbours)),
            "image": RemovalSettings(self.image_share, self.image_strength, self.image_drawn, int(self.image_neighbours)),
        }
        return {
            each: plan_removal(
                getattr(embedded, f"unsafe_{each}"), getattr(embedded, f"safe_{each}"), pairing.targets, settings
            )
            for each, settings in chosen.items()
            if embedded.has(f"unsafe_{each}", f"safe_{each}")
        }
