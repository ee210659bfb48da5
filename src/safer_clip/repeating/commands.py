"""The commands ``safer-clip compare`` and ``safer-clip ablate``; heavy libraries are imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from safer_clip.config import CompareConfig
    from safer_clip.repeating.plans import Variant

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder; runs that it holds are not run again.")]
Seeds = Annotated[int | None, typer.Option(help="Of training, from 0 on.", min=1)]
Model = Annotated[str | None, typer.Option(help="Model folder, or 'miniature'.")]
Data = Annotated[str | None, typer.Option(help="Quadruplets to train on, or 'miniature'.")]
Benchmark = Annotated[str | None, typer.Option(help="Quadruplets to measure on, or 'miniature'.")]
Jobs = Annotated[int | None, typer.Option(help="Processes; by default one a core, or one beside a GPU.", min=1)]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Any other setting, such as --set attack=20; repeatable.")]


def compare(
    output: Output,
    methods: Annotated[list[str] | None, typer.Option(help="Names between commas, or 'all'; repeatable.")] = None,
    seeds: Seeds = None,
    model: Model = None,
    data: Data = None,
    benchmark: Benchmark = None,
    jobs: Jobs = None,
    settings: Settings = None,
) -> None:
    """Train and measure methods with several seeds: means, intervals, frontiers, attacks (comparison.json)."""
    from safer_clip.repeating.plans import HOUSE_METHOD, name_methods

    config = _read_settings(settings, benchmark, output=output, seeds=seeds, model=model, data=data)
    _run(config, name_methods(_split_names(methods) or ["all"]), jobs, "Methods compared over seeds", HOUSE_METHOD)


def ablate(
    output: Output,
    changes: Annotated[list[str] | None, typer.Option(help="Some of the changes, between commas; by default all.")] = None,
    seeds: Seeds = None,
    model: Model = None,
    data: Data = None,
    benchmark: Benchmark = None,
    jobs: Jobs = None,
    settings: Settings = None,
) -> None:
    """Change one ingredient of SafeR-CLIP at a time, with several seeds (comparison.json); attacks only if asked for."""
    from safer_clip.repeating.ablations import list_ablations
    from safer_clip.repeating.plans import HOUSE_METHOD

    given = ["attack=0", *(settings or [])]
    config = _read_settings(given, benchmark, output=output, seeds=seeds, model=model, data=data)
    _run(config, list_ablations(_split_names(changes)), jobs, "What carries SafeR-CLIP's effect", HOUSE_METHOD)


def _split_names(parts: list[str] | None) -> list[str]:
    return [name for part in parts or [] for name in part.split(",")]


def _read_settings(settings: list[str] | None, benchmark: str | None, **named: object) -> CompareConfig:
    from safer_clip.config import CompareConfig, check_settings, drop_absent, parse_settings

    given = parse_settings(settings or [])
    if benchmark is not None:
        given.setdefault("benchmark", {})["data"] = benchmark
    return check_settings(CompareConfig, given | drop_absent(named))


def _run(config: CompareConfig, variants: list[Variant], jobs: int | None, title: str, against: str) -> None:
    from safer_clip.repeating.comparing import FILE, compare_variants
    from safer_clip.repeating.processes import count_jobs
    from safer_clip.report.repeated import write_comparison
    from safer_clip.report.terminal import print_results

    results = compare_variants(config, variants, jobs or count_jobs(), title, against, typer.echo)
    written = write_comparison(results, config.output)
    print_results(results)
    typer.echo(f"Wrote {', '.join(map(str, [config.output / FILE, *written]))}")
