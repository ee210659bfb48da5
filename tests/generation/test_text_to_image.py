import dataclasses
import json
import logging

import pytest
import torch
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError, DataError
from safer_clip.export import export_model
from safer_clip.generation.prompts import read_prompts
from safer_clip.generation.safe_latent import load_preset
from safer_clip.generation.text_to_image import GenerationSettings, generate_images, load_pipeline
from safer_clip.miniature import model_folder
from stand_ins import write_stable_diffusion

pytest.importorskip("diffusers")

ROWS = [
    {"prompt": "a dog with a spoon", "categories": "violence, hate", "sd_seed": 7, "sd_guidance_scale": 2.0},
    {"prompt": "a cat in the park", "categories": "shocking", "sd_seed": "8"},
    {"prompt": "two apples"},
]


@pytest.fixture(scope="module")
def pipeline_folder(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd")
    write_stable_diffusion(folder, encoder)
    return folder


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "i2p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


QUICK = GenerationSettings(images_per_prompt=2, steps=2)


def test_prompts_have_i2p_s_columns(table):
    first, second, third = read_prompts(table)
    assert (first.categories, first.seed, first.guidance) == (("violence", "hate"), 7, 2.0)
    assert (second.categories, second.seed, second.guidance) == (("shocking",), 8, 7.5)
    assert (third.number, third.categories, third.seed) == (3, ("unknown",), 3)


def test_wrong_prompts_are_told_without_repeating_them(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": "secret words", "sd_seed": "x"}) + "\n" + json.dumps({"prompt": " "}) + "\n")
    with pytest.raises(DataError) as caught:
        read_prompts(path)
    told = str(caught.value)
    assert "sd_seed: expected a number" in told
    assert "line 2, prompt: has no prompt" in told
    assert "secret" not in told
    path.write_text('{"prompts": "a"}\n')
    with pytest.raises(DataError, match="did you mean 'prompts'"):
        read_prompts(path)


def test_an_interrupted_run_goes_on_and_ends_the_same(pipeline_folder, table, tmp_path):
    pipeline, prompts = load_pipeline(pipeline_folder), read_prompts(table)
    assert generate_images(pipeline, prompts, tmp_path / "whole", QUICK) == 6
    made = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.png")}
    assert len(set(made.values())) == 6
    for name in ("00002-1.png", "00003-0.png"):
        (tmp_path / "whole" / name).unlink()
    assert generate_images(load_pipeline(pipeline_folder), prompts, tmp_path / "whole", QUICK) == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.png")} == made
    manifest = (tmp_path / "whole" / "manifest.json").read_text()
    assert json.loads(manifest)["images"]["00001-1.png"] == {"row": 1, "categories": ["violence", "hate"], "seed": 8}
    assert "spoon" not in manifest
    with pytest.raises(ConfigError, match=r"other settings \(steps was 2, is now 3\)"):
        generate_images(pipeline, prompts, tmp_path / "whole", GenerationSettings(2, 3))
    with pytest.raises(ConfigError, match=r"other settings \(prompts was"):
        generate_images(pipeline, prompts[:2], tmp_path / "whole", QUICK)
    with torch.no_grad():
        next(pipeline.text_encoder.parameters()).mul_(1.5)
    with pytest.raises(ConfigError, match=r"other settings \(text_encoder was"):
        generate_images(pipeline, prompts, tmp_path / "whole", QUICK)


def test_a_negative_prompt_and_another_encoder_change_the_pictures(pipeline_folder, table, tmp_path):
    prompts = read_prompts(table)[:1]
    export_model(model_folder(), "diffusers", tmp_path / "same")
    plain = load_pipeline(pipeline_folder, tmp_path / "same")
    outputs = {}
    for name, settings in {"plain": GenerationSettings(1, 2), "away": GenerationSettings(1, 2, "a knife")}.items():
        generate_images(plain, prompts, tmp_path / name, settings)
        outputs[name] = (tmp_path / name / "00001-0.png").read_bytes()
    generate_images(load_pipeline(pipeline_folder), prompts, tmp_path / "own", GenerationSettings(1, 2))
    assert outputs["plain"] == (tmp_path / "own" / "00001-0.png").read_bytes()  # the exported encoder is the same one
    assert outputs["plain"] != outputs["away"]


def test_what_does_not_fit_is_told(pipeline_folder, tmp_path):
    with pytest.raises(ConfigError, match="no Stable Diffusion pipeline"):
        load_pipeline(tmp_path)
    with pytest.raises(ConfigError, match="lacks text_encoder and tokenizer"):
        load_pipeline(pipeline_folder, tmp_path)


def test_the_commands_generate_and_rate_by_category(pipeline_folder, table, tmp_path):
    pytest.importorskip("nudenet")
    arguments = ["generate", "--pipeline", str(pipeline_folder), "--prompts", str(table), "--steps", "2"]
    arguments += ["--safe-latent", "max"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "Made 3 pictures of 3" in done.output
    judged = ["judge", "--images", str(tmp_path / "out"), "--judge", "nudenet", "-o", str(tmp_path / "verdicts.json")]
    assert CliRunner().invoke(app, judged).exit_code == 0
    told = json.loads((tmp_path / "verdicts.json").read_text())
    assert set(told["by_category"]) == {"violence", "hate", "shocking", "unknown"}
    assert told["category_mean"] == sum(told["by_category"].values()) / 4


def test_safe_latent_diffusion_changes_the_pictures_and_is_part_of_the_settings(pipeline_folder, table, tmp_path):
    prompts = read_prompts(table)
    safe, plain = load_pipeline(pipeline_folder, safe_latent=True), load_pipeline(pipeline_folder)
    made = {}
    for name, pipeline, settings in (
        ("none", plain, GenerationSettings(1, 2)),
        ("max", safe, GenerationSettings(1, 2, safe_latent="max")),
        ("both", safe, GenerationSettings(1, 2, "a knife", safe_latent="max")),
    ):
        generate_images(pipeline, prompts, tmp_path / name, settings)
        made[name] = (tmp_path / name / "00001-0.png").read_bytes()
    assert len(set(made.values())) == 3
    told = json.loads((tmp_path / "max" / "manifest.json").read_text())["settings"]
    expected = {"sld_warmup_steps": 0, "sld_guidance_scale": 5000, "sld_threshold": 1.0, "sld_momentum_scale": 0.5}
    assert told.items() >= {**expected, "sld_mom_beta": 0.7, "safe_latent": "max"}.items()
    with pytest.raises(ConfigError, match=r'safe_latent was "max", is now null'):
        generate_images(plain, prompts, tmp_path / "max", GenerationSettings(1, 2))


def test_during_the_warm_up_the_pictures_are_the_plain_ones(pipeline_folder):
    options = {"guidance_scale": 5.0, "num_inference_steps": 3, "output_type": "np"}

    def draw(safe_latent, **preset):
        pipeline = load_pipeline(pipeline_folder, safe_latent=safe_latent)
        return pipeline("a dog", generator=torch.Generator().manual_seed(1), **options, **preset).images

    plain = draw(False)
    strong = load_preset("max")
    assert draw(True, **strong | {"sld_warmup_steps": 3}) == pytest.approx(plain, abs=1e-6)
    late, early = (abs(draw(True, **strong | {"sld_warmup_steps": begin}) - plain).max() for begin in (2, 0))
    assert 1e-5 < late < early


@pytest.mark.parametrize(
    ("strength", "numbers"),
    [("weak", (15, 20, 0, 0, 0)), ("medium", (10, 1000, 0.01, 0.3, 0.4)), ("strong", (7, 2000, 0.025, 0.5, 0.7))],
)
def test_the_presets_are_the_published_ones(strength, numbers):
    names = ("warmup_steps", "guidance_scale", "threshold", "momentum_scale", "mom_beta")
    assert load_preset(strength) == {f"sld_{name}": number for name, number in zip(names, numbers, strict=True)}


def test_safe_latent_diffusion_that_would_do_nothing_is_refused(pipeline_folder, table, tmp_path):
    prompts = read_prompts(table)
    safe = load_pipeline(pipeline_folder, safe_latent=True)
    unguided = [dataclasses.replace(prompts[1], guidance=1.0)]
    for pipeline, rows, settings, told in (
        (safe, prompts, GenerationSettings(1, 15, safe_latent="weak"), "begins after 15 steps, and --steps is 15"),
        (safe, unguided, GenerationSettings(1, 20, safe_latent="weak"), "sd_guidance_scale above 1, which prompts 2 do"),
        (safe, prompts, GenerationSettings(1, 20, safe_latent="huge"), "use one of weak, medium, strong, max"),
        (safe, prompts, GenerationSettings(1, 20), "load the pipeline without safe latent"),
        (
            load_pipeline(pipeline_folder),
            prompts,
            GenerationSettings(1, 20, safe_latent="max"),
            "load the pipeline for",
        ),
    ):
        with pytest.raises(ConfigError, match=told):
            generate_images(pipeline, rows, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("safe_latent", [None, "max"])
def test_prompts_that_are_too_long_are_not_quoted(pipeline_folder, tmp_path, caplog, monkeypatch, safe_latent):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "a dog and a cat " * 10 + "with a secret spoon"}) + "\n")
    pipeline = load_pipeline(pipeline_folder, safe_latent=safe_latent is not None)
    caplog.clear()
    generate_images(pipeline, read_prompts(path), tmp_path / "out", GenerationSettings(1, 1, safe_latent=safe_latent))
    assert "a dog" not in caplog.text
