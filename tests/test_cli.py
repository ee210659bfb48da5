import json
import re
import subprocess
import sys
import time

import pytest
from PIL import Image
from typer.testing import CliRunner

from safer_clip import cli
from safer_clip.cli import app

runner = CliRunner()


@pytest.mark.nightly
@pytest.mark.slow
def test_demo_writes_results_report_and_world_in_time(tmp_path):
    """The real entry point in a process of its own: at most 6 minutes on two cores, and 3 GB."""
    begun = time.perf_counter()
    program = """
import sys
from pathlib import Path
from safer_clip.cli import main

try:
    main()
finally:  # the peak of this process alone; getrusage would count its parent's too
    print(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line), file=sys.stderr)
"""
    command = [sys.executable, "-c", program, "demo", "--output", str(tmp_path / "demo"), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.perf_counter() - begun < 360
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert int(peak) < 3 * 2**20
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert list(results["methods"]) == ["clip", "clip_plus", "safe_clip", "safer_clip"]
    caps = {name: method["retrieval"]["mini_nsfw_caps"] for name, method in results["methods"].items()}
    assert caps["safer_clip"]["T*->V"]["R@1"] > caps["clip"]["T*->V"]["R@1"] + 10
    assert len(results["methods"]["clip"]["zero_shot"]) == 14
    assert results["seed"] == 1
    assert Image.open(tmp_path / "demo" / "world.png").size[0] > 1000
    assert "SafeR-CLIP" in (tmp_path / "demo" / "report.html").read_text()
    assert "T*→V" in done.stdout


def test_env_names_versions():
    result = runner.invoke(app, ["env"])
    assert result.exit_code == 0
    assert "transformers" in result.output


def test_wrong_calls_exit_with_two_and_say_why(tmp_path, monkeypatch, capsys):
    (tmp_path / "there").write_text("x")
    monkeypatch.setattr(sys, "argv", ["safer-clip", "miniature", "sheet", "--output", str(tmp_path / "there")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "--overwrite" in capsys.readouterr().err


def test_check_reports_every_problem_at_once(tmp_path, monkeypatch, capsys):
    rows = [
        {"id": "1", "safe_caption": "a dog", "unsafe_caption": ""},
        {"id": "2", "safe_caption": "a cat", "unsafe_caption": "a cat with a knife", "safe_image": "gone.png"},
    ]
    table = tmp_path / "table.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(sys, "argv", ["safer-clip", "check", str(table)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    message = capsys.readouterr().err
    assert stop.value.code == 1
    assert "unsafe_caption" in message
    assert "gone.png" in message
    table.write_text(json.dumps({**rows[1], "safe_image": None}) + "\n")
    assert "1" in runner.invoke(app, ["check", str(table)]).output


def test_sheet_is_a_picture(tmp_path):
    assert runner.invoke(app, ["miniature", "sheet", "-o", str(tmp_path / "sheet.png")]).exit_code == 0
    assert Image.open(tmp_path / "sheet.png").format == "PNG"


@pytest.mark.slow
def test_proof_writes_its_figures(tmp_path):
    result = runner.invoke(app, ["miniature", "proof", "-o", str(tmp_path / "proof.json")])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "proof.json").read_text())
    cosine = figures["caption_cosine"]
    assert cosine["mini_visu"] + 0.1 < cosine["mini_nsfw_caps"] < cosine["nearest_safe"]
    assert min(figures["nearest_safe_shares"].values()) >= 70
    base, oracle = figures["base"], figures["oracle"]
    assert base["T*->V"]["R@1"] <= 10
    assert base["T*->V"]["unsafe_rate"] > 80
    for count in ("1", "10"):
        for direction in ("T*->V", "V*->T"):
            assert oracle[count][direction]["untouched"]["R@1"] > 5 * base[direction]["R@1"]


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from typer.testing import CliRunner; from safer_clip.cli import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "print([m for m in ('torch', 'transformers', 'datasets', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
