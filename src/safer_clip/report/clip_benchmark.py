"""Figures in CLIP_benchmark's form, for its ``build`` step and the notebooks that people have for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safer_clip.files import write_json
from safer_clip.results import MethodResults, Results, RetrievalScores

RECALLS = {1: "recall_1", 5: "recall_5", 10: "recall_10", 20: "recall_20"}


def write_clip_benchmark(results: Results, folder: Path) -> list[Path]:
    """Write one JSON file for each method and data set into an existing folder.

    Zero-shot sets become ``zeroshot_classification`` with ``acc1``; benchmarks ``zeroshot_retrieval`` with
    ``image_retrieval_recall@K`` and ``text_retrieval_recall@K`` of safe queries over plain pools. Rates run from 0 to 1.
    """
    base = str(results.base_model.get("name", "clip")).replace("/", "_")
    paths = []
    for key, method in results.methods.items():
        for task, dataset, metrics in _collect(method):
            path = folder / f"{dataset}_{key}_{base}_{task}.json"
            told = {"dataset": dataset, "model": base, "pretrained": key, "task": task, "metrics": metrics, "language": "en"}
            write_json(path, told)
            paths.append(path)
    return paths


def _collect(method: MethodResults) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, accuracy in method.zero_shot.items():
        if name != "mean":
            yield "zeroshot_classification", name, {"acc1": accuracy / 100}
    for name, scores in method.plain_retrieval.items():
        metrics = _rates("image", scores["T->V"]) | _rates("text", scores["V->T"])
        yield "zeroshot_retrieval", name, metrics


def _rates(side: str, scores: RetrievalScores) -> dict[str, float]:
    return {f"{side}_retrieval_recall@{k}": getattr(scores, name) / 100 for k, name in RECALLS.items()}
