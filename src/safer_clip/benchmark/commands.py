"""``safer-clip benchmark``: build, stats and export. Heavy libraries are imported inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

benchmark_app = typer.Typer(help="Build a benchmark of your own from captioned pictures.", no_args_is_help=True)

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
