"""Figures of a model on the miniature's sets: retrieval, zero-shot, and the proof that the world can show the effect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safer_clip.evaluation.oracle import redirect_unsafe
from safer_clip.evaluation.retrieval import (
    Floats,
    QuadrupletEmbeddings,
    evaluate_mixed,
    evaluate_plain,
    retrieve_mixed,
)
from safer_clip.evaluation.suite import ClassificationSet, classify_set
from safer_clip.evaluation.zero_shot import accuracy
from safer_clip.miniature.rendering import render_image
from safer_clip.miniature.splits import ScenePair, draw_pairs
from safer_clip.miniature.zero_shot import ZeroShotSet, load_zero_shot
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.pairing import nearest_safe

NEIGHBOURS = 10


def embed_pairs(encoder: DualEncoder, pairs: Sequence[ScenePair]) -> QuadrupletEmbeddings:
    """Embed the four sides of quadruplets, each once."""
    return QuadrupletEmbeddings(
        safe_text=encoder.encode_texts([pair.safe_caption for pair in pairs]),
        unsafe_text=encoder.encode_texts([pair.unsafe_caption for pair in pairs]),
        safe_image=encoder.encode_images([render_image(pair.safe) for pair in pairs]),
        unsafe_image=encoder.encode_images([render_image(pair.shown) for pair in pairs]),
    )


def measure_zero_shot(encoder: DualEncoder, zero_shot: ZeroShotSet) -> float:
    """Accuracy in percent on one set."""
    images = [render_image(scene) for scene in zero_shot.scenes]
    predicted = classify_set(encoder, ClassificationSet(zero_shot.name, images, zero_shot.labels, zero_shot.prompts))
    return accuracy(predicted, zero_shot.labels)


def measure_all_zero_shot(encoder: DualEncoder) -> dict[str, float]:
    """Accuracy on every set, and their mean."""
    figures = {zero_shot.name: measure_zero_shot(encoder, zero_shot) for zero_shot in load_zero_shot()}
    return {**figures, "mean": float(np.mean(list(figures.values())))}


def measure_retrieval(embeddings: QuadrupletEmbeddings) -> dict[str, dict[str, dict[str, float]]]:
    """Mixed- and plain-pool retrieval of one benchmark."""
    return {"mixed": evaluate_mixed(embeddings), "plain": evaluate_plain(embeddings)}


def mean_cosine(left: Floats, right: Floats) -> float:
    """Mean cosine of row ``i`` with row ``i``."""
    return float((left * right).sum(axis=1).mean())


def measure_pairing(unsafe: Floats, safe: Floats, pairs: Sequence[ScenePair]) -> dict[str, float]:
    """What each unsafe caption shares, in truth, with its nearest safe caption in the same training set.

    Returns:
        ``subject`` and ``place``: percent of pairs that share it; ``cosine``: their mean caption similarity.
    """
    found, _ = nearest_safe(unsafe, safe)
    both = [(pair.unsafe, pairs[j].safe) for pair, j in zip(pairs, found, strict=True)]
    return {
        "subject": 100.0 * float(np.mean([u.subject is s.subject for u, s in both])),
        "place": 100.0 * float(np.mean([u.place == s.place for u, s in both])),
        "cosine": mean_cosine(unsafe, safe[found]),
    }


def measure_oracle(
    benchmark: QuadrupletEmbeddings, training: QuadrupletEmbeddings, count: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Retrieval of unsafe queries that are redirected without training, see :func:`redirect_unsafe`.

    ``untouched`` leaves the unsafe gallery as it is, ``redirected`` moves it as well.
    """
    moved = redirect_unsafe(benchmark, training, count)
    texts, images = moved.unsafe_text, moved.unsafe_image
    return {
        "T*->V": {
            "untouched": retrieve_mixed(texts, benchmark.safe_image, benchmark.unsafe_image),
            "redirected": retrieve_mixed(texts, benchmark.safe_image, images),
        },
        "V*->T": {
            "untouched": retrieve_mixed(images, benchmark.safe_text, benchmark.unsafe_text),
            "redirected": retrieve_mixed(images, benchmark.safe_text, texts),
        },
    }


def prove(encoder: DualEncoder) -> dict[str, object]:
    """All figures that show whether the world can show the effect; see ``docs/proof.md``."""
    pairs = draw_pairs("mini_visu", "train")
    training = embed_pairs(encoder, pairs)
    tight = embed_pairs(encoder, draw_pairs("mini_nsfw_caps"))
    pairing = measure_pairing(training.unsafe_text, training.safe_text, pairs)
    return {
        "caption_cosine": {
            "mini_visu": mean_cosine(training.safe_text, training.unsafe_text),
            "mini_nsfw_caps": mean_cosine(tight.safe_text, tight.unsafe_text),
            "nearest_safe": pairing["cosine"],
        },
        "nearest_safe_shares": {key: pairing[key] for key in ("subject", "place")},
        "base": evaluate_mixed(tight),
        "oracle": {str(count): measure_oracle(tight, training, count) for count in (1, NEIGHBOURS)},
    }
