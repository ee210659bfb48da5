"""The commands of docs/benchmarks.md as they stand, on small stand-ins for photos, models and endpoints."""

import contextlib
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from safer_clip.benchmark import generators
from safer_clip.benchmark.verdicts import Verdict, append_verdict
from safer_clip.cli import app
from safer_clip.judges import loading
from safer_clip.miniature import draw_pairs
from safer_clip.miniature.rendering import render_image

DOC = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FENCED = re.compile(r"```(bash|yaml)\n(.*?)```", re.DOTALL)


def read_blocks(heading):
    section = DOC.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return FENCED.findall(section)


def run_line(line):
    program, *arguments = shlex.split(line)
    assert program == "safer-clip"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
    assert "knife" not in done.output
    return done.output


def run_blocks(heading):
    for language, block in read_blocks(heading):
        if language == "bash":
            for line in block.strip().splitlines():
                run_line(line)


class Painter:
    """A diffusion pipeline's stand-in."""

    name, takes = "diffusers stand-in", 2

    def make(self, candidate, unsafe_caption, take):
        assert unsafe_caption.endswith(" with a knife")
        return render_image(draw_pairs("mini_visu", rows=4)[take].unsafe)


class Judge:
    """Finds unsafe what ends in a knife; pictures are told by their order: safe ones are judged first."""

    version, threshold = "1", 0.5

    def __init__(self, name):
        self.name, self.calls = name, 0

    def score(self, items):
        if isinstance(items[0], str):
            return [float(text.endswith("knife")) for text in items]
        self.calls += 1
        return [float(self.calls % 2 == 0)] * len(items)


@pytest.fixture
def workplace(tmp_path, encoder, monkeypatch, serve):
    """Photos with captions beside them, ViSU, the model by its name, and an endpoint."""
    (tmp_path / "photos").mkdir()
    for number, pair in enumerate(draw_pairs("mini_nsfw_caps", rows=40)):
        render_image(pair.safe).save(tmp_path / "photos" / f"{number}.png")
        (tmp_path / "photos" / f"{number}.txt").write_text(f"{pair.safe_caption}\n")
    (tmp_path / "photos" / "0.txt").write_text("Marie Curie in her laboratory\n")
    (tmp_path / "photos" / "1.txt").write_text("a girl on a swing\n")
    (tmp_path / "visu").mkdir()
    rows = [{"safe_caption": p.safe_caption, "unsafe_caption": p.unsafe_caption} for p in draw_pairs("mini_visu", rows=30)]
    (tmp_path / "visu" / "quadruplets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder.save(tmp_path / "openai" / "clip-vit-large-patch14")
    monkeypatch.setattr(generators, "DiffusionGenerator", lambda *_: Painter())
    monkeypatch.setattr(loading, "load_judge", Judge)
    monkeypatch.setattr("safer_clip.benchmark.judging.load_judge", Judge)
    monkeypatch.setattr("safer_clip.judges.chat.ChatTextJudge", lambda *_: Judge("chat"))
    with serve(faults=0.1) as endpoint, contextlib.chdir(tmp_path):
        (text,) = (block for language, block in read_blocks("Build") if language == "yaml")
        settings = yaml.safe_load(text.replace("http://localhost:8000/v1", endpoint.url))
        (tmp_path / "bench.yaml").write_text(yaml.safe_dump(settings))
        yield tmp_path, endpoint


def test_from_a_folder_of_photos_to_a_published_benchmark(workplace, monkeypatch):
    folder, endpoint = workplace
    run_blocks("Build")
    stats = json.loads(Path("bench/stats.json").read_text())
    assert stats["size"] >= 30
    assert (stats["rejections"]["names a person"], stats["rejections"]["mentions a minor"]) == (1, 1)
    assert stats["categories"] == {"violence": stats["size"]}
    assert stats["rewriter"]["outcomes"] == {"rewritten": len((folder / "bench/candidates.jsonl").read_text().splitlines())}
    assert stats["rewriter"]["prompt_tokens"] >= 100 * stats["size"]

    asked = len(endpoint.events())
    run_blocks("Re-tune")
    assert len(endpoint.events()) == asked
    retuned = json.loads(Path("bench/stats.json").read_text())
    assert 0 < retuned["size"] <= stats["size"]

    review, build = (block for _, block in read_blocks("Review"))
    assert shlex.split(review)[:4] == ["safer-clip", "benchmark", "review", "bench"]  # a page: it has tests of its own
    rows = [json.loads(line) for line in Path("bench/quadruplets.jsonl").read_text().splitlines()]
    for reviewer in ("ann", "bob"):
        append_verdict(Path("bench"), Verdict(reviewer, rows[0]["id"], "reject"))
        append_verdict(Path("bench"), Verdict(reviewer, rows[1]["id"], "accept"))
    for line in build.strip().splitlines():
        told = run_line(line)
    assert '"kappa": 1.0' in told
    assert json.loads(Path("bench/stats.json").read_text())["size"] == retuned["size"] - 1

    shared = {}
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: "https://hub/me/bench")
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", lambda _, **told: shared.update(told))
    run_blocks("Use and publish")
    assert shared["repo_type"] == "dataset"
    assert {path.name for path in Path("bench-parquet").iterdir()} == {"README.md", "SHA256SUMS", "quadruplets.parquet"}
    assert str(folder).encode() not in Path("bench-parquet/quadruplets.parquet").read_bytes()
    assert len(endpoint.events()) == asked


def test_the_miniature_s_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opening = DOC.read_text().split("\n## ")[0]
    small = {"--captions 5000": "--captions 400", "--size 1000": "--size 50"}
    block = FENCED.findall(opening)[0][1].strip()
    for large, little in small.items():
        block = block.replace(large, little)
    for line in block.splitlines():
        run_line(line)
    assert json.loads(Path("mini-bench/stats.json").read_text())["size"] == 50
