"""The commands and snippets of docs/real_models.md as they stand, on local stand-ins for what nobody can ship."""

import contextlib
import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionModel, LlavaConfig, LlavaForConditionalGeneration
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image
from safer_clip.models.dual_encoder import DualEncoder

DOC = Path(__file__).parents[1] / "docs" / "real_models.md"
FENCED = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)


def read_blocks(heading):
    section = DOC.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return FENCED.findall(section)


def write_visu(folder, split, count):
    rows = {}
    for index, pair in enumerate(draw_pairs("mini_visu", split, count)):
        safe, unsafe = folder / "train2017" / f"{index:012d}.jpg", folder / "nsfw" / f"{index}.jpg"
        for path, scene in ((safe, pair.safe), (unsafe, pair.unsafe)):
            path.parent.mkdir(parents=True, exist_ok=True)
            render_image(scene).save(path, quality=95)
        captions = {"safe": pair.safe_caption, "nsfw": pair.unsafe_caption, "tag": "weapons"}
        rows[str(index)] = captions | {"coco_id": index, "nsfw_im_path": f"nsfw/{index}.jpg"}
    (folder / "visu.json").write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def workplace(encoder, tmp_path_factory):
    """The stand-ins: the miniature under the models' names, ViSU's layout, and what would have been generated."""
    root = tmp_path_factory.mktemp("user")
    for name in ("openai/clip-vit-large-patch14", "aimagelab/safeclip_vit-l_14"):
        encoder.save(root / name)
    write_visu(root / "visu", "train", 64)
    write_visu(root / "visu-test", "test", 24)
    (root / "generated").mkdir()
    render_image(draw_pairs("mini_visu", rows=1)[0].safe).resize((64, 64)).save(root / "generated" / "0.png")
    return root


def run_block(block):
    """Run each line; what only a GPU or a long training would change is made small."""
    for line in block.strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "safer-clip"
        if arguments[0] == "train":
            arguments = [each.replace("precision=bf16", "precision=fp32") for each in arguments]
            arguments += ["--set", "batch_size=8", "--max-steps", "2"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"


@pytest.fixture(scope="module")
def job(workplace):
    """The first two sections, which the others build on."""
    with contextlib.chdir(workplace):
        for language, block in read_blocks("Reproduce SafeR-CLIP on ViSU") + read_blocks("Evaluate a published Safe-CLIP"):
            assert language == "bash"
            run_block(block)
    return workplace


def test_the_paper_s_job_and_a_published_model(job):
    results = json.loads((job / "results.json").read_text())
    assert list(results["methods"]) == ["clip", "safer_clip"]
    assert "SafeR-CLIP" in (job / "report.html").read_text()
    assert json.loads((job / "safe-clip.json").read_text())["methods"]["model"]["title"] == "safeclip_vit-l_14"


def test_stable_diffusion_takes_the_text_encoder(job, monkeypatch):
    monkeypatch.chdir(job)
    export, pipeline, judge = (block for _, block in read_blocks("Swap it into Stable Diffusion"))
    run_block(export)
    if find_spec("nudenet"):
        run_block(judge)
    built = {}
    loader = type("Pipeline", (), {"from_pretrained": staticmethod(lambda name, **parts: built.update(parts))})
    exec(pipeline.replace("from diffusers import StableDiffusionPipeline\n", ""), {"StableDiffusionPipeline": loader})
    tuned = DualEncoder.load("safer-vit")
    tokens = built["tokenizer"](["a dog"], return_tensors="pt")
    with torch.inference_mode():
        expected = tuned.model.text_model(**tokens).last_hidden_state
        assert torch.allclose(built["text_encoder"](**tokens).last_hidden_state, expected, atol=1e-5)


def test_llava_takes_the_vision_tower(job, monkeypatch):
    monkeypatch.chdir(job)
    export, swap = (block for _, block in read_blocks("Swap it into LLaVA"))
    run_block(export)
    tower = CLIPVisionModel.from_pretrained("safer-vision-tower")
    llava = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=tower.config,
            text_config={
                "model_type": "llama",
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "vocab_size": 100,
            },
        )
    )
    monkeypatch.setattr(LlavaForConditionalGeneration, "from_pretrained", lambda name: llava)
    exec(swap, {})
    pixels = torch.rand(1, 3, 48, 48)
    with torch.inference_mode():
        swapped, own = (
            model(pixels, output_hidden_states=True).hidden_states[-2] for model in (llava.model.vision_tower, tower)
        )
    assert torch.allclose(swapped, own, atol=1e-6)


def test_gate_card_and_other_tools(job, monkeypatch):
    """The gate's numbers are for a real model, so here only its answer is looked at."""
    monkeypatch.chdir(job)
    gate, card, push = read_blocks("Gate a release")[0][1].strip().splitlines()
    judged = CliRunner().invoke(app, shlex.split(gate)[1:])
    assert judged.exit_code == 3  # two steps make nothing safer
    assert "MISS unsafe rate, visu-test T*->V" in judged.output
    run_block(card)
    assert "# safer-vit" in Path("safer-vit/README.md").read_text()
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: "https://hub/me/safer-vit")
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", lambda *_, **__: None)
    run_block(push)
    onnx, open_clip, benchmark = read_blocks("Other tools")[0][1].strip().splitlines()
    if find_spec("onnxruntime"):
        run_block(onnx)
    if find_spec("open_clip"):
        run_block(open_clip)
    run_block(benchmark)
    assert list(Path("clip-benchmark").glob("*.json"))
