"""The command line, ``safer-clip``.

Heavy libraries are imported inside the commands, so that ``--help`` answers at once. Exit codes: 0 done, 1 the input or the
result is at fault, 2 the command was called wrongly, 3 a threshold of ``gate`` was missed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_clip.benchmark.commands import benchmark_app
from safer_clip.errors import ConfigError, SaferClipError
from safer_clip.repeating.commands import ablate, compare

if TYPE_CHECKING:
    from safer_clip.config import TrainConfig

app = typer.Typer(
    help="Make CLIP-like models safer, and measure how safe and how useful they remain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
miniature_app = typer.Typer(help="The embedded world and its CLIP.", no_args_is_help=True)
app.add_typer(miniature_app, name="miniature")
app.add_typer(benchmark_app, name="benchmark")

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must be empty or absent.")]
OutputFile = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
DataSettings = Annotated[
    list[str] | None,
    typer.Option("--set", help="How to read the data, such as --set columns.safe_caption=text; repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over what the output holds.")]


@app.command()
def demo(
    output: Output,
    seed: Annotated[int, typer.Option(help="Of training, intervals and examples.", min=0)] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train CLIP+, Safe-CLIP and SafeR-CLIP on the miniature, and compare them with the untouched CLIP."""
    from safer_clip.files import prepare_output
    from safer_clip.miniature.demo import run_demo
    from safer_clip.miniature.sheet import draw_contact_sheet
    from safer_clip.report import write_report
    from safer_clip.report.terminal import print_results
    from safer_clip.results import save_results

    prepare_output(output, overwrite)
    draw_contact_sheet().save(output / "world.png")
    results = run_demo(output, seed, typer.echo)
    save_results(output / "results.json", results)
    write_report(results, output / "report.html")
    print_results(results)
    typer.echo(f"\nOpen {output / 'report.html'}; the figures are in {output / 'results.json'}")


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
    data: Annotated[str, typer.Argument(help="Quadruplets in any documented format: a file, a folder, owner/name.")],
    image_root: Annotated[Path | None, typer.Option(help="Folder that picture paths start from.")] = None,
    coco_root: Annotated[Path | None, typer.Option(help="For ViSU: COCO's folder, with train2017 and so on.")] = None,
    unsafe_root: Annotated[Path | None, typer.Option(help="For ViSU, NSFW-Caps: folder of the unsafe pictures.")] = None,
    max_bad_rows: Annotated[int, typer.Option(help="Drop up to this many bad rows instead of failing.", min=0)] = 0,
    settings: DataSettings = None,
) -> None:
    """Read quadruplets and report every problem of the input at once."""
    from safer_clip.config import DataConfig, check_settings, drop_absent, parse_settings
    from safer_clip.tuning import read_data

    roots = {"image_root": image_root, "coco_root": coco_root, "unsafe_root": unsafe_root}
    named = drop_absent({"data": data, "max_bad_rows": max_bad_rows, **roots})
    typer.echo(read_data(check_settings(DataConfig, parse_settings(settings or []) | named)).report.summary())


@app.command()
def train(
    model: Annotated[str | None, typer.Option(help="Model folder, or 'miniature'.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Quadruplets in any documented format, 'miniature', or 'miniature-v2' with labels.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the tuned model.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="safer_clip, safer_plus, safe_clip, safe_clip_code, shield_clip, hysac, clip_plus; "
            "uwm and projection edit without training; docs/methods.md lists all."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with settings; options and --set win over it.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, such as --set learning_rate=1e-4; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of adapters, order and dropout.", min=0)] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many optimizer steps.", min=1)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the output's last whole checkpoint.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check all inputs, print the settings, estimate memory and time; train nothing."),
    ] = False,
) -> None:
    """Make a model safer: encode the reference, pair, train adapters, merge, write."""
    from safer_clip.config import drop_absent, load_config, parse_settings

    named = {"model": model, "data": data, "output": output, "method": method, "seed": seed, "max_steps": max_steps}
    chosen = load_config(config, parse_settings(settings or []) | drop_absent(named))
    if dry_run:
        _plan(chosen)
        return
    from safer_clip.tuning import train as run

    tuned = run(chosen, typer.echo, resume)
    text, vision = tuned.progress.drift[-1]
    typer.echo(f"Wrote {chosen.output} (drift: text {text:.3g}, vision {vision:.3g})")


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="Model folder, or 'miniature'.")],
    data: Annotated[str, typer.Option(help="Quadruplets in any documented format, or 'miniature'.")],
    output: OutputFile,
    base: Annotated[str | None, typer.Option(help="The pre-trained model, to compare with.")] = None,
    zero_shot: Annotated[list[Path] | None, typer.Option(help="Folder of an image-classification set; repeatable.")] = None,
    unsafe_pool: Annotated[
        list[Path] | None, typer.Option(help="Manifest of real unsafe items and safe distractors; repeatable.")
    ] = None,
    attack: Annotated[int, typer.Option(help="Attack so many quadruplets of each benchmark as well.", min=0)] = 0,
    settings: DataSettings = None,
    seed: Annotated[int | None, typer.Option(help="Of the intervals and attacks.", min=0)] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure how safe and how useful a model is (JSON); draw it with `safer-clip report`."""
    from safer_clip.config import EvaluateConfig, check_settings, drop_absent, parse_settings

    own_sets = {"zero_shot": zero_shot, "unsafe_pools": unsafe_pool, "attack": attack}
    named = drop_absent({"model": model, "data": data, "base": base, "seed": seed, **own_sets})
    chosen = check_settings(EvaluateConfig, parse_settings(settings or []) | named)
    _refuse_existing(output, overwrite)
    from safer_clip.comparison import evaluate as run
    from safer_clip.report.terminal import print_results
    from safer_clip.results import save_results

    results = run(chosen, typer.echo)
    save_results(output, results)
    print_results(results)
    typer.echo(f"Wrote {output}")


@app.command()
def frontier(
    model: Annotated[list[Path], typer.Option(help="Folder as `train` writes it, with adapter/; repeatable.")],
    data: Annotated[str, typer.Option(help="Quadruplets in any documented format, or 'miniature'.")],
    output: OutputFile,
    base: Annotated[str | None, typer.Option(help="Their pre-trained model; by default as the first was trained.")] = None,
    strengths: Annotated[
        str | None, typer.Option(help="Of the adapters, between commas; 0 is the base model, 1 the trained one.")
    ] = None,
    zero_shot: Annotated[list[Path] | None, typer.Option(help="Folder of an image-classification set; repeatable.")] = None,
    settings: DataSettings = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure adapters at several strengths, safety against utility (JSON), and draw them (SVG beside it)."""
    from safer_clip.config import FrontierConfig, check_settings, drop_absent, parse_settings

    named = drop_absent({"models": model, "data": data, "base": base, "strengths": strengths, "zero_shot": zero_shot})
    chosen = check_settings(FrontierConfig, parse_settings(settings or []) | named)
    _refuse_existing(output, overwrite)
    from safer_clip.evaluation.tracing import save_frontier, trace_models
    from safer_clip.report.frontier import summarize_frontier, write_frontier_charts

    results = trace_models(chosen, typer.echo)
    save_frontier(output, results)
    for line in summarize_frontier(results.frontier):
        typer.echo(line)
    charts = write_frontier_charts(results.frontier, output)
    typer.echo(f"Wrote {output} and {', '.join(map(str, charts))}")


app.command()(compare)
app.command()(ablate)


@app.command()
def pair(
    model: Annotated[str, typer.Option(help="Model folder, or 'miniature'.")],
    data: Annotated[str, typer.Option(help="Quadruplets in any documented format, or 'miniature'.")],
    output: OutputFile,
    settings: DataSettings = None,
    overwrite: Overwrite = False,
) -> None:
    """Write each unsafe caption's nearest safe one (JSONL: id, target id, cosine)."""
    from safer_clip.config import DataConfig, check_settings, parse_settings
    from safer_clip.tuning import write_pairing

    _refuse_existing(output, overwrite)
    chosen = check_settings(DataConfig, parse_settings(settings or []) | {"data": data})
    mean = write_pairing(model, chosen, output)
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
def clip_benchmark(
    results: Annotated[Path, typer.Argument(help="A results.json.")],
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Write figures as CLIP_benchmark's result files, for its `build` step."""
    from safer_clip.files import prepare_output
    from safer_clip.report.clip_benchmark import write_clip_benchmark
    from safer_clip.results import load_results

    paths = write_clip_benchmark(load_results(results), prepare_output(output, overwrite))
    typer.echo(f"Wrote {len(paths)} files to {output}")


@app.command()
def export(
    model: Annotated[Path, typer.Option(help="Model folder, adapters merged, as `train` writes it.")],
    output: Output,
    layout: Annotated[str, typer.Option("--format", help="transformers, open_clip, diffusers, llava, onnx or single-file.")],
    strength: Annotated[
        float | None, typer.Option(help="Export the base model plus this much of adapter/ instead.", min=0, max=2)
    ] = None,
    base: Annotated[str | None, typer.Option(help="For --strength; by default the model that was trained.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model for another tool, load it back, and compare (export.json)."""
    from safer_clip.export import export_model

    record = export_model(model, layout, output, overwrite, strength, base)
    typer.echo(
        f"Wrote {output}; largest difference {record.max_abs_difference:.2g}, smallest cosine {record.cosine_min:.6f}"
    )


@app.command()
def convert(
    model: Annotated[Path, typer.Option(help="Folder of open_clip's files, or of HySAC's with its weights as safetensors.")],
    output: Output,
    tokenizer: Annotated[
        Path | None, typer.Option(help="For open_clip: the tokenizer's folder, if the model has none.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="For HySAC: the CLIP that it was built on, ViT-L/14.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn a model of another layout into a transformers folder, which all other commands take."""
    from safer_clip.files import prepare_output
    from safer_clip.models.conversion import convert_model

    encoder = convert_model(model, tokenizer, base)
    encoder.save(prepare_output(output, overwrite))
    typer.echo(f"Wrote {output}")


@app.command()
def card(
    results: Annotated[Path, typer.Argument(help="A results.json of the model, best beside its base.")],
    output: OutputFile,
    title: Annotated[str, typer.Option(help="The model's name.")],
    method: Annotated[str | None, typer.Option(help="Which of the results' methods; by default the last.")] = None,
    licence: Annotated[str | None, typer.Option("--license", help="Identifier, as a rule the base model's.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model card (Markdown with the hub's metadata)."""
    from safer_clip.report.card import write_card
    from safer_clip.results import load_results

    _refuse_existing(output, overwrite)
    write_card(load_results(results), output, title, method, licence)
    typer.echo(f"Wrote {output}")


@app.command()
def push(
    model: Annotated[Path, typer.Option(help="Model folder with its card.")],
    repo: Annotated[str, typer.Option(help="owner/name on the Hugging Face hub.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
) -> None:
    """Upload a model with its card to the Hugging Face hub, privately unless asked otherwise."""
    from safer_clip.hub import push_model

    typer.echo(f"Uploaded to {push_model(model, repo, public)}")


@app.command()
def push_data(
    data: Annotated[str, typer.Option(help="Quadruplets in any documented format.")],
    repo: Annotated[str, typer.Option(help="owner/name on the Hugging Face hub.")],
    settings: DataSettings = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
) -> None:
    """Upload quadruplets with their pictures to the Hugging Face hub, privately unless asked otherwise."""
    from safer_clip.config import DataConfig, check_settings, parse_settings
    from safer_clip.hub import push_table
    from safer_clip.tuning import read_data

    chosen = check_settings(DataConfig, parse_settings(settings or []) | {"data": data})
    push_table(read_data(chosen).table, repo, chosen.split or "train", public)
    typer.echo(f"Uploaded to {repo}; --data {repo} reads it")


@app.command()
def generate(
    pipeline: Annotated[str, typer.Option(help="Stable Diffusion pipeline: a folder, or its name on the hub.")],
    prompts: Annotated[Path, typer.Option(help="Table with I2P's columns.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder; pictures that are there already are kept.")],
    text_encoder: Annotated[Path | None, typer.Option(help="From `export --format diffusers`.")] = None,
    negative_prompt: Annotated[str, typer.Option(help="What to steer away from, on top.")] = "",
    images_per_prompt: Annotated[int, typer.Option(help="Seeds a prompt.", min=1)] = 1,
    steps: Annotated[int, typer.Option(help="Of the sampler.", min=1)] = 50,
    safe_latent: Annotated[
        str | None, typer.Option(help="Safe Latent Diffusion on top: weak, medium, strong or max.")
    ] = None,
) -> None:
    """Generate pictures with a swapped text encoder, for `judge`; goes on where it was interrupted."""
    from safer_clip.generation.prompts import read_prompts
    from safer_clip.generation.text_to_image import GenerationSettings, generate_images, load_pipeline

    read = read_prompts(prompts)
    settings = GenerationSettings(images_per_prompt, steps, negative_prompt, safe_latent=safe_latent)
    loaded = load_pipeline(pipeline, text_encoder, safe_latent is not None)
    made = generate_images(loaded, read, output, settings)
    typer.echo(f"Made {made} pictures of {len(read) * images_per_prompt} in {output}")


@app.command()
def caption(
    llava: Annotated[str, typer.Option(help="LLaVA-type model: a folder, or its name on the hub.")],
    images: Annotated[Path, typer.Option(help="Folder of pictures, subfolders included.")],
    output: OutputFile,
    vision_tower: Annotated[Path | None, typer.Option(help="From `export --format llava`.")] = None,
    prompt: Annotated[str, typer.Option(help="What to ask about each picture.")] = "Describe the picture in one sentence.",
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 64,
    overwrite: Overwrite = False,
) -> None:
    """Caption pictures with a swapped vision tower (JSONL), for `judge`; goes on where it was interrupted."""
    from safer_clip.data.picture_folders import read_picture_folder
    from safer_clip.generation.image_to_text import CaptionSettings, caption_images, load_captioner

    _refuse_existing(output, overwrite)
    source = read_picture_folder(images)
    made = caption_images(load_captioner(llava, vision_tower), source, output, CaptionSettings(prompt, max_new_tokens))
    typer.echo(f"Wrote {output}; made {made} captions for {len(source.names)} pictures")


@app.command()
def judge(
    output: OutputFile,
    judges: Annotated[
        list[str],
        typer.Option(
            "--judge",
            help="Of pictures: nudenet, a CLIP head's folder, opennsfw:FILE.onnx; of texts: moderation:MODEL[@URL]; "
            "of both: classifier:FOLDER, chat:MODEL[@URL]. Repeatable.",
        ),
    ],
    images: Annotated[Path | None, typer.Option(help="Folder of pictures, subfolders included.")] = None,
    texts: Annotated[Path | None, typer.Option(help="Table with a column `caption`, as `caption` writes it.")] = None,
    combine: Annotated[str, typer.Option(help="any, all or mean of the judges.")] = "any",
    overwrite: Overwrite = False,
) -> None:
    """Say which pictures or texts are unsafe, and each judge's own rate and mean score (JSON); goes on if interrupted."""
    from safer_clip.files import write_json
    from safer_clip.judges.verdicts import SETTINGS, judge_folder, judge_texts
    from safer_clip.resuming import Journal

    _refuse_existing(output, overwrite)
    journal = Journal.beside(output, SETTINGS)
    if images and not texts:
        found, what = judge_folder(images, judges, combine, journal), "images"
    elif texts and not images:
        found, what = judge_texts(texts, judges, combine, journal), "texts"
    else:
        raise ConfigError("judge takes either --images or --texts")
    write_json(output, found)
    journal.finish()
    typer.echo(f"Wrote {output}; {found['unsafe_rate']:.1f} % of {len(found[what])} {what} are unsafe")


@app.command()
def gate(
    results: Annotated[Path, typer.Argument(help="A results.json.")],
    method: Annotated[str | None, typer.Option(help="Which of its methods; by default its last.")] = None,
    max_unsafe_rate: Annotated[
        float | None,
        typer.Option(help="Unsafe queries with an unsafe first answer, percent, each direction.", min=0, max=100),
    ] = None,
    max_utility_drop: Annotated[
        float | None, typer.Option(help="Points below the base model, for zero-shot and safe queries.", min=0)
    ] = None,
    min_redirection: Annotated[
        float | None, typer.Option(help="R@1 of the safe partner, percent, each direction.", min=0, max=100)
    ] = None,
) -> None:
    """Exit with 3 when a measured model misses a threshold, and say which."""
    from safer_clip.gate import Thresholds, check_thresholds
    from safer_clip.results import load_results

    thresholds = Thresholds(max_unsafe_rate, max_utility_drop, min_redirection)
    verdict = check_thresholds(load_results(results), thresholds, method)
    for line in verdict.lines:
        typer.echo(line)
    if not verdict.passed:
        raise typer.Exit(3)


@app.command()
def env() -> None:
    """Print the versions that a bug report or a result should name."""
    from safer_clip.environment import describe_hardware, describe_versions

    for name, value in {**describe_versions(), **describe_hardware()}.items():
        typer.echo(f"{name} {value}")


def _plan(config: TrainConfig) -> None:
    from safer_clip.estimates import estimate_training
    from safer_clip.report.wording import duration
    from safer_clip.tuning import load_encoder, plan_training

    plan = plan_training(config)
    typer.echo(config.model_dump_json(indent=2))
    if not plan.steps:
        typer.echo(f"{len(plan.table):,} quadruplets are fine; {config.method} trains nothing", err=True)
        return
    epochs = ", ".join(f"{rows:,}" for rows in plan.rows_by_epoch)
    typer.echo(f"{len(plan.table):,} quadruplets are fine; {plan.steps:,} steps over epochs of {epochs} rows", err=True)
    found = estimate_training(load_encoder(config.model), config, plan)
    typer.echo(
        f"{found.parameters:,} parameters, {found.trained:,} of them trained; measured on {found.device}: "
        f"{found.memory / 2**30:.1f} GiB at the peak of a step, {duration(found.encode_seconds)} to encode the reference, "
        f"{duration(found.train_seconds)} to train",
        err=True,
    )


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ConfigError(f"--output {path} exists; name another file, or pass --overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)


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
