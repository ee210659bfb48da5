"""Both kinds of attack on one model and one benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from safer_clip.attacks.captions import attack_captions
from safer_clip.attacks.outcomes import AttackResults, draw_curve
from safer_clip.attacks.pictures import attack_pictures
from safer_clip.attacks.settings import AttackSettings
from safer_clip.attacks.targets import Targets
from safer_clip.evaluation.examples import choose_rows
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.models.dual_encoder import DualEncoder

if TYPE_CHECKING:
    from datasets import Dataset


def attack_model(
    encoder: DualEncoder, table: Dataset, embeddings: QuadrupletEmbeddings, settings: AttackSettings
) -> AttackResults:
    """Try to bring unsafe items back to the first place, knowing the model and its gallery.

    An unsafe caption is edited to find its *unsafe* image in the mixed pool of images, an unsafe image changed to find its
    unsafe caption in the mixed pool of captions. The pools stay as they are.

    Args:
        encoder: the model under attack.
        table: ``n`` quadruplets with all pictures.
        embeddings: the model's, of the table.
        settings: budgets, effort and seed.

    Raises:
        ConfigError: the model's pictures cannot be attacked.
    """
    rows = choose_rows(len(table), settings.quadruplets, settings.seed)
    chosen, wanted = table.select(rows), [int(row) + len(table) for row in rows]
    captions = [*table["safe_caption"], *table["unsafe_caption"]]
    images = _stack(embeddings, ("safe_image", "unsafe_image"), encoder)
    texts = _stack(embeddings, ("safe_text", "unsafe_text"), encoder)

    pictures = [image.convert("RGB") for image in chosen["unsafe_image"]]
    to_texts = Targets.among(texts, wanted, captions, partial(encoder.similarity.search, wanted="text"))
    changed = attack_pictures(encoder, pictures, to_texts, settings.pixels, settings.steps, settings.seed)

    to_images = Targets.among(images, wanted, range(len(images)), partial(encoder.similarity.search, wanted="image"))
    edited = attack_captions(encoder, list(chosen["unsafe_caption"]), to_images, max(settings.tokens), settings.candidates)

    by_tokens = {budget: edited.margins[budget] > 0 for budget in (0, *settings.tokens)}
    by_pixels = {budget: changed[place] > 0 for place, budget in enumerate((0, *settings.pixels))}
    return AttackResults(
        captions=draw_curve(by_tokens, settings.seed, edited.immovable),
        pictures=draw_curve(by_pixels, settings.seed),
        seed=settings.seed,
    )


def _stack(embeddings: QuadrupletEmbeddings, sides: Sequence[str], encoder: DualEncoder) -> torch.Tensor:
    rows = np.concatenate([embeddings.offer(side) for side in sides])
    return torch.from_numpy(rows.astype(np.float32)).to(encoder.model.device)
