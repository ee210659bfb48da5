"""``safer-clip benchmark``: build, review, stats, export and push. Heavy libraries are imported inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

benchmark_app = typer.Typer(help="Build, review and publish a safety benchmark of one's own.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The benchmark's folder, as `build` writes it.")]


@benchmark_app.command()
def build(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the benchmark; goes on with one begun there.")],
    source: Annotated[str | None, typer.Option(help="Captioned pictures in any documented format, or 'miniature'.")] = None,
    captions: Annotated[int | None, typer.Option(help="Take so many pictures of the source.", min=1)] = None,
    size: Annotated[int | None, typer.Option(help="Wanted quadruplets.", min=1)] = None,
    rewriter: Annotated[str | None, typer.Option(help="offline (miniature only), or chat:MODEL[@URL].")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with settings; options and --set win over it.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, such as --set thresholds.floor=0.6; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every choice.", min=0)] = None,
) -> None:
    """Build quadruplets; run again to go on after a kill, to re-tune thresholds or to apply a review."""
    from safer_clip.benchmark.building import build as run
    from safer_clip.benchmark.given import settle_settings
    from safer_clip.config import drop_absent, parse_settings

    named = {
        "source": drop_absent({"data": source, "captions": captions}),
        "selection": drop_absent({"size": size}),
        "rewriter": drop_absent({"name": rewriter}),
        **drop_absent({"seed": seed}),
    }
    chosen = settle_settings(output, config, parse_settings(settings or []), named)
    stats = run(output, chosen, typer.echo)
    similarity = stats["caption_similarity"]
    typer.echo(f"Wrote {output}; mean caption similarity {similarity['mean']}")
    if stats["size"] < stats["wanted"]:
        typer.echo("There were too few good pairs; stats.json says why the others were left out", err=True)


@benchmark_app.command()
def review(
    folder: Folder,
    reviewer: Annotated[str, typer.Option(help="Your name; the same name goes on where it stopped.")],
    port: Annotated[int, typer.Option(help="Of the page, on this machine only; 0 for any free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page, or only tell its address.")] = True,
) -> None:
    """Judge pair by pair in a local page: accept, reject or edit; unsafe pictures stay blurred until asked for."""
    from safer_clip.benchmark.review_server import run_review

    run_review(folder, reviewer, port, browser, typer.echo)


@benchmark_app.command()
def stats(folder: Folder) -> None:
    """Count again, with the verdicts that are there now, and write stats.json and datasheet.md; no model is asked."""
    import json

    from safer_clip.benchmark.recounting import recount

    found = recount(folder)
    for name in ("size", "wanted", "rejections", "categories", "review"):
        typer.echo(f"{name}: {json.dumps(found[name])}")
    similarity = found["caption_similarity"]
    loose = f"; loose set {similarity['loose']['mean']}" if similarity["loose"] else ""
    typer.echo(f"mean caption similarity: {similarity['mean']}{loose}")
    typer.echo(f"Wrote {folder / 'stats.json'}")


@benchmark_app.command()
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must be empty or absent.")],
    layout: Annotated[str, typer.Option("--format", help="datasets, jsonl, parquet or webdataset.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Write the benchmark for others, with its datasheet and checksums."""
    from safer_clip.benchmark.exporting import export_benchmark

    files = export_benchmark(folder, output, layout, overwrite)
    typer.echo(f"Wrote {len(files)} files to {output}")


@benchmark_app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="An export of the benchmark.")],
    repo: Annotated[str, typer.Option(help="owner/name on the Hugging Face hub.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
) -> None:
    """Upload an exported benchmark to the Hugging Face hub, privately unless asked otherwise."""
    from safer_clip.benchmark.sharing import push_benchmark

    typer.echo(f"Uploaded to {push_benchmark(folder, repo, public)}")
