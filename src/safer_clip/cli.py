"""The command line: ``safer-clip demo | train | pair | report | miniature | check | env``.

Heavy libraries are imported inside the commands, so that ``--help`` answers at once. Exit codes: 0 done, 1 the input or the
result is at fault, 2 the command was called wrongly.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_clip import __version__
from safer_clip.errors import ConfigError, SaferClipError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    help="Make CLIP-like models safer, and measure how safe and how useful they remain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
miniature_app = typer.Typer(help="The embedded world and its CLIP.", no_args_is_help=True)
app.add_typer(miniature_app, name="miniature")

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must be empty or absent.")]
OutputFile = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over what the output holds.")]


@app.command()
def demo(output: Output, overwrite: Overwrite = False) -> None:
    """Render the miniature world and evaluate its CLIP on all of its sets."""
    from safer_clip.files import prepare_output, write_json
    from safer_clip.miniature import load_encoder
    from safer_clip.miniature.figures import measure_miniature
    from safer_clip.miniature.sheet import draw_contact_sheet

    prepare_output(output, overwrite)
    draw_contact_sheet().save(output / "world.png")
    figures = measure_miniature(load_encoder())
    write_json(output / "results.json", figures)
    _print_figures(figures)
    typer.echo(f"\nWrote {output / 'results.json'} and {output / 'world.png'}")


@miniature_app.command()
def sheet(output: OutputFile, overwrite: Overwrite = False) -> None:
    """Draw a contact sheet of both benchmarks (PNG)."""
    from safer_clip.miniature.sheet import draw_contact_sheet

    _refuse_existing(output, overwrite)
    draw_contact_sheet().save(output, format="PNG")
    typer.echo(f"Wrote {output}")


@miniature_app.command()
def proof(output: OutputFile, overwrite: Overwrite = False) -> None:
    """Measure whether the world can show the effect of redirection, before any training (JSON)."""
    from safer_clip.files import write_json
    from safer_clip.miniature import load_encoder
    from safer_clip.miniature.measures import prove

    _refuse_existing(output, overwrite)
    figures = prove(load_encoder())
    write_json(output, figures)
    _print_tree(figures)
    typer.echo(f"Wrote {output}")


@app.command()
def check(
    data: Annotated[Path, typer.Argument(help="Table, saved data set, ViSU file, or a folder with one of them.")],
    image_root: Annotated[Path | None, typer.Option(help="Folder that a table's picture paths start from.")] = None,
    coco_root: Annotated[Path | None, typer.Option(help="For ViSU: COCO's folder, with train2017 and so on.")] = None,
    unsafe_root: Annotated[Path | None, typer.Option(help="For ViSU: folder of the unsafe pictures.")] = None,
    max_bad_rows: Annotated[int, typer.Option(help="Drop up to this many bad rows instead of failing.", min=0)] = 0,
) -> None:
    """Read quadruplets and report every problem of the input at once."""
    from safer_clip.data import ReadOptions, read_quadruplets

    options = ReadOptions(max_bad_rows=max_bad_rows)
    result = read_quadruplets(data, image_root=image_root, coco_root=coco_root, unsafe_root=unsafe_root, options=options)
    typer.echo(result.report.summary())


@app.command()
def train(
    model: Annotated[str | None, typer.Option(help="Model folder, or 'miniature'.")] = None,
    data: Annotated[str | None, typer.Option(help="Quadruplets in any documented format, or 'miniature'.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the tuned model.")] = None,
    method: Annotated[str | None, typer.Option(help="safer_clip, safe_clip or clip_plus.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with settings; options and --set win over it.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, such as --set learning_rate=1e-4; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of adapters, order and dropout.", min=0)] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many optimizer steps.", min=1)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the output's last whole checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and print the settings; train nothing.")] = False,
) -> None:
    """Make a model safer: encode the reference, pair, train adapters, merge, write."""
    from safer_clip.config import load_config, parse_settings

    named = {"model": model, "data": data, "output": output, "method": method, "seed": seed, "max_steps": max_steps}
    chosen = load_config(config, parse_settings(settings or []) | {key: v for key, v in named.items() if v is not None})
    if dry_run:
        typer.echo(chosen.model_dump_json(indent=2))
        return
    from safer_clip.tuning import train as run

    tuned = run(chosen, typer.echo, resume)
    text, vision = tuned.progress.drift[-1]
    typer.echo(f"Wrote {chosen.output} (drift: text {text:.3g}, vision {vision:.3g})")


@app.command()
def pair(
    model: Annotated[str, typer.Option(help="Model folder, or 'miniature'.")],
    data: Annotated[str, typer.Option(help="Quadruplets in any documented format, or 'miniature'.")],
    output: OutputFile,
    overwrite: Overwrite = False,
) -> None:
    """Write each unsafe caption's nearest safe one (JSONL: id, target id, cosine)."""
    from safer_clip.tuning import write_pairing

    _refuse_existing(output, overwrite)
    mean = write_pairing(model, data, output)
    typer.echo(f"Wrote {output}; mean cosine {mean:.3f}")


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results.json.")],
    output: OutputFile,
    overwrite: Overwrite = False,
) -> None:
    """Draw a results file as one self-contained page (HTML)."""
    from safer_clip.report import write_report
    from safer_clip.results import load_results

    _refuse_existing(output, overwrite)
    write_report(load_results(results), output)
    typer.echo(f"Wrote {output}")


@app.command()
def env() -> None:
    """Print the versions that a bug report or a result should name."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    typer.echo(f"safer-clip {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name in ("torch", "transformers", "tokenizers", "datasets", "numpy", "pillow"):
        try:
            typer.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            typer.echo(f"{name} is not installed")


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ConfigError(f"--output {path} exists; name another file, or pass --overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)


def _print_figures(figures: Mapping[str, object]) -> None:
    from rich.console import Console

    from safer_clip.miniature.figures import tabulate

    console = Console()
    for table in tabulate(figures):
        console.print(table)


def _print_tree(value: object, indent: int = 0) -> None:
    if not isinstance(value, dict):
        return
    for key, part in value.items():
        if isinstance(part, dict):
            typer.echo(f"{'  ' * indent}{key}")
            _print_tree(part, indent + 1)
        else:
            typer.echo(f"{'  ' * indent}{key}: {part:.3g}" if isinstance(part, float) else f"{'  ' * indent}{key}: {part}")


def main() -> None:
    """Run the command line; a known error is told in a sentence, not in a traceback."""
    try:
        app()
    except SaferClipError as error:
        typer.echo(f"safer-clip: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
