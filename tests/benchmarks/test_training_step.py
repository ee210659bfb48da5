import json
import subprocess
import sys
from pathlib import Path

import pytest

import training_step

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training_step.py"


def test_ratios_are_medians_over_turns_by_hand():
    seconds = {"ours": [1.0, 2.0, 4.0], "safe_clip_loop": [2.0, 6.0, 4.0], "floor": [0.5, 2.0, 3.0]}
    result = training_step.summarize(seconds)
    assert result["vs_safe_clip_loop"] == 2.0  # of 2, 3 and 1
    assert result["vs_floor"] == 0.75  # of 0.5, 1 and 0.75
    assert result["spread"]["vs_safe_clip_loop"] == {"quartiles": [1.0, 3.0], "turns": [2.0, 3.0, 1.0]}


@pytest.mark.nightly
@pytest.mark.slow
def test_the_quick_benchmark_meets_its_goals(tmp_path):
    """Goals of 1.8 and 0.93 on an idle machine; a tenth is left to a machine that does other work."""
    subprocess.run([sys.executable, str(SCRIPT), "--quick", "--output", str(tmp_path / "speed.json")], check=True)
    result = json.loads((tmp_path / "speed.json").read_text())
    assert result["vs_safe_clip_loop"] > 1.62
    assert result["vs_floor"] > 0.84
    peaks = result["peak_memory_mib"]
    assert peaks["ours"] < peaks["safe_clip_loop"]
