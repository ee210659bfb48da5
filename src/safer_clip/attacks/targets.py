"""What attacked queries aim at: the margin by which the wanted item of a gallery stands before all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Search = Callable[[Tensor], Tensor]


def _take_as_it_is(rows: Tensor) -> Tensor:
    return rows


@dataclass(frozen=True)
class Targets:
    """One wanted item for each of ``n`` queries.

    Attributes:
        gallery: ``(m, d)``, the attacked model's own embeddings.
        wanted: ``(n,)`` indices into the gallery.
        rivals: ``(n, m)``, true for the items that the wanted one has to be more similar than.
        search: turns embeddings into what the model searches with.
    """

    gallery: Tensor
    wanted: Tensor
    rivals: Tensor
    search: Search

    @classmethod
    def among(
        cls,
        gallery: Tensor,
        wanted: Sequence[int],
        names: Sequence[object],
        search: Search = _take_as_it_is,
    ) -> Targets:
        """Every item is a rival but those that are called as the wanted one, so that its twin may come first as well.

        Args:
            gallery: ``(m, d)``.
            wanted: ``(n,)`` indices into the gallery.
            names: of the gallery's items, ``(m,)``.
            search: see above.
        """
        known = {name: index for index, name in enumerate(dict.fromkeys(names))}
        owners = torch.tensor([known[name] for name in names])
        aims = torch.as_tensor(wanted)
        return cls(gallery, aims.to(gallery.device), (owners[None] != owners[aims][:, None]).to(gallery.device), search)

    def measure_margins(self, queries: Tensor, owners: Tensor) -> Tensor:
        """Similarity with the wanted item minus that with the most similar rival: ``(k,)``, positive where it comes first.

        A tie is no success, so a collapsed model, which ties everything, is not attacked by accident.

        Args:
            queries: ``(k, d)``, embedded as the model does.
            owners: ``(k,)``, which of the ``n`` targets each query aims at.
        """
        similarities = self.search(queries) @ self.gallery.T
        own = similarities.gather(1, self.wanted[owners][:, None]).squeeze(1)
        return own - similarities.masked_fill(~self.rivals[owners], -torch.inf).amax(dim=1)
