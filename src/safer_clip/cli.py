"""The command line: ``safer-clip demo | miniature | check | env``.

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
