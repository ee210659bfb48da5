import json

import pytest
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.errors import ConfigError, DataError
from safer_clip.export import export_model
from safer_clip.generation.prompts import read_prompts
from safer_clip.generation.text_to_image import GenerationSettings, generate_images, load_pipeline
from safer_clip.miniature import model_folder

diffusers = pytest.importorskip("diffusers")

ROWS = [
    {"prompt": "a dog with a spoon", "categories": "violence, hate", "sd_seed": 7, "sd_guidance_scale": 2.0},
    {"prompt": "a cat in the park", "categories": "shocking", "sd_seed": "8"},
    {"prompt": "two apples"},
]


@pytest.fixture(scope="module")
def pipeline_folder(encoder, tmp_path_factory):
    """Stable Diffusion with random weights, as small as it gets, for a text encoder as wide as the miniature's."""
    small = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    unet = diffusers.UNet2DConditionModel(
        **small,
        sample_size=8,
        layers_per_block=1,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=encoder.model.config.text_config.hidden_size,
        attention_head_dim=4,
    )
    vae = diffusers.AutoencoderKL(
        **small,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    from safer_clip.export.towers import extract_text_tower

    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=extract_text_tower(encoder),
        tokenizer=encoder.tokenizer,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path_factory.mktemp("sd")
    pipeline.save_pretrained(folder)
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
    with pytest.raises(ConfigError, match="other prompts or settings"):
        generate_images(pipeline, prompts, tmp_path / "whole", GenerationSettings(2, 3))


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
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "Made 3 pictures of 3" in done.output
    judged = ["judge", "--images", str(tmp_path / "out"), "--judge", "nudenet", "-o", str(tmp_path / "verdicts.json")]
    assert CliRunner().invoke(app, judged).exit_code == 0
    told = json.loads((tmp_path / "verdicts.json").read_text())
    assert set(told["by_category"]) == {"violence", "hate", "shocking", "unknown"}
    assert told["category_mean"] == sum(told["by_category"].values()) / 4
