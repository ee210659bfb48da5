"""The commands under ``safer-clip benchmark``; heavy libraries are imported inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

benchmark_app = typer.Typer(help="Build, review and publish a safety benchmark of one's own.", no_args_is_help=True)


@benchmark_app.command()
def review(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A benchmark, as `safer-clip benchmark build` writes it.")],
    reviewer: Annotated[str, typer.Option(help="Your name; the same name goes on where it stopped.")],
    port: Annotated[int, typer.Option(help="Of the page, on this machine only; 0 for any free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page, or only tell its address.")] = True,
) -> None:
    """Judge pair by pair in a local page: accept, reject or edit; unsafe pictures stay blurred until asked for."""
    from safer_clip.benchmark.review_server import run_review

    run_review(folder, reviewer, port, browser, typer.echo)
