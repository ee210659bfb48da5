"""The demonstration: SafeR-CLIP and its closest rivals compared on the miniature, in minutes, without a GPU."""

from __future__ import annotations

from pathlib import Path

from safer_clip.comparison import Tell, build_results, compare_methods
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.evaluation.suite import Suite
from safer_clip.miniature import load_encoder
from safer_clip.miniature.measures import measure_pairing
from safer_clip.miniature.settings import TRAINING_ROWS, demo_config
from safer_clip.miniature.splits import draw_pairs, load_split
from safer_clip.miniature.suite import load_suite
from safer_clip.results import Results

DEMO_METHODS = ("clip_plus", "safe_clip", "safer_clip")


def run_demo(
    output: Path, seed: int = 0, tell: Tell = lambda _: None, suite: Suite | None = None, rows: int = TRAINING_ROWS
) -> Results:
    """Train and measure the methods of :data:`DEMO_METHODS`.

    Writes each tuned model to ``output / <method>``, and the frozen model's embeddings to ``output / "reference"``.

    Args:
        output: an existing folder.
        seed: of training, of the bootstrap and of the choice of examples.
        tell: told what happens, a sentence at a time.
        suite: what to measure on, if not all of the miniature.
        rows: training quadruplets.
    """
    tell("Rendering the miniature world")
    table = load_split("mini_visu", "train", rows)
    runs = [demo_config(method, output / method, seed, rows) for method in DEMO_METHODS]
    comparison, reference = compare_methods(load_encoder, table, suite or load_suite(seed), runs, output / "reference", tell)
    tell("Checking what the table is worth")
    validity = comparison.check_validity(reference, _describe_pairing(reference, rows))
    return build_results(comparison, "SafeR-CLIP and its rivals on the miniature", "miniature", validity, table)


def _describe_pairing(reference: QuadrupletEmbeddings, rows: int) -> dict[str, float]:
    return measure_pairing(reference.unsafe_text, reference.safe_text, draw_pairs("mini_visu", "train", rows))
