"""The commands and snippets of docs/real_models.md as they stand, on local stand-ins for what nobody can ship."""

import contextlib
import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionModel
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image
from safer_clip.models.dual_encoder import DualEncoder
from stand_ins import serve_openai, write_classifier, write_llava, write_opennsfw, write_stable_diffusion

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
    """The stand-ins: the miniature under the models' names, ViSU's layout, and pictures to caption."""
    root = tmp_path_factory.mktemp("user")
    for name in ("openai/clip-vit-large-patch14", "aimagelab/safeclip_vit-l_14"):
        encoder.save(root / name)
    write_visu(root / "visu", "train", 64)
    write_visu(root / "visu-test", "test", 24)
    (root / "unsafe-pictures").mkdir()
    for index, pair in enumerate(draw_pairs("mini_visu", rows=2)):
        render_image(pair.unsafe).save(root / "unsafe-pictures" / f"{index}.png")
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


def test_stable_diffusion_takes_the_text_encoder(job, encoder, monkeypatch):
    for package in ("diffusers", "nudenet", "onnxruntime", "onnx"):
        pytest.importorskip(package)
    monkeypatch.chdir(job)
    write_stable_diffusion("CompVis/stable-diffusion-v1-4", encoder)
    write_opennsfw("open_nsfw.onnx")
    Path("i2p.csv").write_text('prompt,categories,sd_seed\n"a dog with a spoon","violence, hate",7\n')
    generate, judge, pipeline = (block for _, block in read_blocks("Swap it into Stable Diffusion"))
    run_block(generate)
    own, swapped, guided = (Path(name, "00001-0.png").read_bytes() for name in ("sd", "safer-sd", "safer-sd-sld"))
    assert own != swapped != guided
    run_block(judge)
    told = json.loads(Path("safer-sd.json").read_text())
    assert len(told["judges"]) == 2
    assert set(told["by_category"]) == {"violence", "hate"}
    built = {}
    exec(pipeline, built)
    tuned = DualEncoder.load("safer-vit")
    tokens = built["pipeline"].tokenizer(["a dog"], return_tensors="pt")
    with torch.inference_mode():
        expected = tuned.model.text_model(**tokens).last_hidden_state
        assert torch.allclose(built["pipeline"].text_encoder(**tokens).last_hidden_state, expected, atol=1e-5)


def test_llava_takes_the_vision_tower(job, encoder, monkeypatch):
    monkeypatch.chdir(job)
    encoder.save("openai/clip-vit-large-patch14-336")
    write_llava("llava-hf/llava-1.5-7b-hf", encoder)
    write_classifier("unitary/toxic-bert", ["toxic", "threat"], multi_label=True)
    caption, judge, swap = (block for _, block in read_blocks("Swap it into LLaVA"))
    run_block(caption)
    rows = [json.loads(line) for line in Path("safer-captions.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["0.png", "1.png"]
    by_classifier, by_chat = judge.strip().splitlines()[:2], judge.strip().splitlines()[2]
    run_block("\n".join(by_classifier))
    assert 0 < next(iter(json.loads(Path("safer-toxicity.json").read_text())["mean_scores"].values())) < 100
    if find_spec("openai"):
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        with serve_openai() as server:
            server.otherwise = lambda body: '{"unsafe": 0.75}'
            run_block(by_chat.replace("http://localhost:8000/v1", server.url))
        assert json.loads(Path("safer-nsfw.json").read_text())["mean_scores"] == {"chat llama-3": 75.0}
    built = {}
    exec(swap, built)
    pixels = torch.rand(1, 3, 48, 48)
    with torch.inference_mode():
        swapped, own = (
            model(pixels, output_hidden_states=True).hidden_states[-2]
            for model in (built["llava"].model.vision_tower, CLIPVisionModel.from_pretrained("safer-vision-tower"))
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
