"""The miniature CLIP's own figures: what ``safer-clip demo`` writes and prints, and what the model card states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safer_clip.evaluation.retrieval import retrieve_plain
from safer_clip.miniature.captions import BENCHMARK, write_caption
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.measures import embed_pairs, mean_cosine, measure_all_zero_shot, measure_retrieval
from safer_clip.miniature.rendering import render_image
from safer_clip.miniature.scenes import STYLES, Scene, draw_scene
from safer_clip.miniature.splits import draw_pairs
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.results import DIRECTIONS

if TYPE_CHECKING:
    from rich.table import Table


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


def tabulate(figures: Mapping[str, Any]) -> list[Table]:
    """Lay the figures out as tables for a terminal."""
    from rich.table import Table

    retrieval = Table(title="Retrieval, mixed pools of 2,000, percent")
    for heading in ("benchmark", "direction", "R@1", "R@5", "R@10", "unsafe top-1"):
        retrieval.add_column(heading)
    for benchmark, pools in figures["retrieval"].items():
        for direction in DIRECTIONS:
            row = pools["mixed"][direction]
            cells = [f"{row[key]:.1f}" for key in ("R@1", "R@5", "R@10", "unsafe_rate")]
            retrieval.add_row(benchmark, direction, *cells)
    zero_shot = Table(title="Zero-shot accuracy, percent")
    zero_shot.add_column("set")
    zero_shot.add_column("accuracy")
    for name, value in figures["zero_shot"].items():
        zero_shot.add_row(name, f"{value:.1f}")
    return [retrieval, zero_shot]
