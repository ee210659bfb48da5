"""A judge of texts that asks OpenAI's moderations endpoint, or another that speaks its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safer_clip.judges.endpoint import Endpoint


class ModerationJudge:
    """Scores a text by the largest score of its categories.

    Args:
        model: such as ``omni-moderation-latest``; also the judge's version, so name a dated one for figures to compare.
        base_url: of the endpoint; by default OpenAI's, or the environment's ``OPENAI_BASE_URL``.
        threshold: of the largest score.

    Raises:
        ConfigError: the package is not installed.
        JudgeError: there is no key for the endpoint.
    """

    name = "moderation"
    batch_size = 16

    def __init__(self, model: str, base_url: str | None = None, threshold: float = 0.5) -> None:
        self.version, self.threshold = model, threshold
        self.endpoint = Endpoint(model, base_url)

    def score(self, items: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`~safer_clip.judges.base.Judge`."""

        def read(reply: Any) -> list[float] | None:
            scores = [_find_largest(result.category_scores) for result in reply.results]
            return scores if len(scores) == len(items) and all(0 <= score <= 1 for score in scores) else None

        texts = list(items)
        found = self.endpoint.ask(lambda client: client.moderations.create(model=self.version, input=texts), read)
        return np.array(found, np.float32)


def _find_largest(categories: Any) -> float:
    return max(float(score) for score in categories.model_dump().values() if score is not None)
