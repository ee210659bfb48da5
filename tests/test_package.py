import re
import subprocess
import sys
from pathlib import Path

import pytest

import safer_clip

README = Path(__file__).parents[1] / "README.md"


def test_every_public_name_is_there():
    for name in safer_clip.__all__:
        assert getattr(safer_clip, name) is not None
    assert set(dir(safer_clip)) == set(safer_clip.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        safer_clip.nothing  # noqa: B018


def test_importing_the_package_is_light():
    program = (
        "import sys, safer_clip; print([m for m in ('torch', 'transformers', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.nightly
@pytest.mark.slow
def test_the_readme_s_whole_job_in_python(tmp_path, monkeypatch):
    """The README's lines as they stand, on fewer rows."""
    (job,) = [block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "train(" in block]
    assert len(job.strip().splitlines()) <= 14
    monkeypatch.chdir(tmp_path)
    small = job.replace('output="safer"', 'output="safer", rows=144, max_steps=2')
    assert small != job
    exec(compile(small, str(README), "exec"), {})
    results = safer_clip.load_results(tmp_path / "results.json")
    assert list(results.methods) == ["clip", "safer_clip"]
    assert results.methods["safer_clip"].drift.text > 0
    assert "SafeR-CLIP" in (tmp_path / "report.html").read_text()
