"""The page: everything that the template sets, and writing it to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safer_clip.evaluation.frontier import Frontier
from safer_clip.files import write_bytes
from safer_clip.report import query_tables, tables, wording
from safer_clip.report.gallery import build_examples
from safer_clip.results import MethodResults, Results
from safer_clip.templates import load_templates

TEMPLATE = "report.html.j2"


def render_report(results: Results, frontiers: Mapping[str, Frontier] | None = None) -> str:
    """Render results as one HTML page that needs nothing else, with the methods' curves if there are any.

    Raises:
        ReportError: a picture of the gallery is missing or is not embedded.
    """
    return (
        load_templates("safer_clip.report")
        .get_template(TEMPLATE)
        .render(_context(results) | _curves(results, frontiers or {}))
    )


def write_report(results: Results, path: Path, frontiers: Mapping[str, Frontier] | None = None) -> None:
    """Write the page atomically; raises as :func:`render_report`."""
    write_bytes(path, render_report(results, frontiers).encode())


def _context(results: Results) -> dict[str, object]:
    return {
        "results": results,
        "summary": wording.summarize(results),
        "created": wording.moment(results.created),
        "method_tables": tables.method_tables(results),
        "recall_tables": tables.recall_tables(results),
        **_charts(results),
        "whiskers": any(
            "mean" in method.zero_shot_intervals or wording.safety_interval(method, name)
            for method in results.methods.values()
            for name in method.retrieval
        ),
        "loss_tables": tables.loss_tables(results),
        "zero_shot": tables.zero_shot_table(results),
        "encoder_tables": tables.gallery_encoder_tables(results),
        "quadruplet_tables": tables.quadruplet_tables(results),
        "caption_table": tables.caption_table(results),
        "pool_table": tables.unsafe_pool_table(results),
        "category_tables": query_tables.category_tables(results),
        "paired_tables": query_tables.paired_tables(results),
        "attack_tables": query_tables.attack_tables(results),
        "pairing": _pairing(results.validity.pairing),
        "oracle_tables": tables.variant_tables(results.validity.oracle),
        "control_tables": tables.variant_tables(results.validity.controls),
        "examples": build_examples(results),
        "settings": [(method.title, _settings(method)) for method in results.methods.values()],
    }


def _charts(results: Results) -> dict[str, object]:
    """The charts, marked as safe: Matplotlib has escaped every word in them."""
    from markupsafe import Markup

    from safer_clip.report import charts

    tradeoffs = [(name, charts.draw_tradeoff(results, name)) for name in wording.benchmarks(results)]
    drifts = [("Text encoder", charts.draw_drift(results, "text")), ("Vision encoder", charts.draw_drift(results, "vision"))]
    return {
        "tradeoffs": [(name, Markup(svg)) for name, svg in tradeoffs if svg],
        "drifts": [(name, Markup(svg)) for name, svg in drifts if svg],
    }


def _curves(results: Results, frontiers: Mapping[str, Frontier]) -> dict[str, object]:
    from markupsafe import Markup

    from safer_clip.report.frontier import draw_frontier

    found = [(name, draw_frontier(frontiers, name, "zero_shot")) for name in wording.benchmarks(results)]
    return {"frontiers": [(name, Markup(svg)) for name, svg in found if svg]}


def _settings(method: MethodResults) -> dict[str, object]:
    fingerprint = {"model fingerprint": method.model_fingerprint} if method.model_fingerprint else {}
    return method.settings | fingerprint


def _pairing(pairing: dict[str, float]) -> list[tuple[str, str]]:
    """What pairs share, in words; cosines run to 1, the rest are percent."""
    return [
        (name.replace("_", " "), f"{value:.3f}" if name == "cosine" else f"{wording.percent(value)} %")
        for name, value in pairing.items()
    ]
