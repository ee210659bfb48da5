"""The miniature CLIP's own figures: what the model card states."""

from __future__ import annotations

from typing import Any

from safer_clip.evaluation.retrieval import retrieve_plain
from safer_clip.miniature.captions import BENCHMARK, write_caption
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.measures import embed_pairs, mean_cosine, measure_all_zero_shot, measure_retrieval
from safer_clip.miniature.rendering import render_image
from safer_clip.miniature.scenes import STYLES, Scene, draw_scene
from safer_clip.miniature.splits import draw_pairs
from safer_clip.models.dual_encoder import DualEncoder


def draw_plain_pool(size: int = 1000) -> list[tuple[Scene, str]]:
    """Held-out safe scenes of both styles, each with a full caption that no other scene of the pool has."""
    pool: list[tuple[Scene, str]] = []
    seen: set[str] = set()
    index = 0
    while len(pool) < size:
        dice = Dice("plain pool", index)
        scene = draw_scene(dice, STYLES[index % 2], "test", unsafe=False)
        caption = write_caption(scene, dice, BENCHMARK)
        index += 1
        if caption not in seen:
            seen.add(caption)
            pool.append((scene, caption))
    return pool


def measure_plain_pool(encoder: DualEncoder) -> dict[str, dict[str, float]]:
    """R@K both ways among 1,000 held-out scenes."""
    pool = draw_plain_pool()
    images = encoder.encode_images([render_image(scene) for scene, _ in pool])
    texts = encoder.encode_texts([caption for _, caption in pool])
    return {"T->V": retrieve_plain(texts, images), "V->T": retrieve_plain(images, texts)}


def measure_miniature(encoder: DualEncoder) -> dict[str, Any]:
    """Every figure of a model on the miniature: both benchmarks, all zero-shot sets, the plain pool."""
    retrieval, cosine = {}, {}
    for benchmark in ("mini_visu", "mini_nsfw_caps"):
        embeddings = embed_pairs(encoder, draw_pairs(benchmark))
        retrieval[benchmark] = measure_retrieval(embeddings)
        cosine[benchmark] = mean_cosine(embeddings.safe_text, embeddings.unsafe_text)
    return {
        "retrieval": retrieval,
        "caption_cosine": cosine,
        "plain_pool": measure_plain_pool(encoder),
        "zero_shot": measure_all_zero_shot(encoder),
    }
