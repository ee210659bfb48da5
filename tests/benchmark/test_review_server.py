"""Starting and ending a review; what is wrong is told before it starts."""

import json
import os
import socket
import sys
import urllib.error
import urllib.request

import pytest
from reviewing import interrupt, read_journal, start_review, write_benchmark
from typer.testing import CliRunner

from safer_clip.benchmark.review_server import check_reviewer, load_pairs, open_port
from safer_clip.benchmark.verdicts import Verdict, append_verdict
from safer_clip.cli import app
from safer_clip.errors import ConfigError, DataError


def review(folder, *options):
    result = CliRunner().invoke(app, ["benchmark", "review", str(folder), "--reviewer", "ann", "--no-browser", *options])
    assert result.exit_code != 0
    return result.exception


def test_a_folder_that_is_no_benchmark_is_refused(tmp_path):
    assert "there is no folder" in str(review(tmp_path / "absent"))
    problem = review(tmp_path)
    assert isinstance(problem, ConfigError)
    assert "no quadruplets.jsonl" in str(problem)


def test_all_missing_pictures_are_told_at_once(tmp_path):
    write_benchmark(tmp_path, rows=3)
    (tmp_path / "images/unsafe/0.png").unlink()
    (tmp_path / "images/safe/2.png").write_bytes(b"no picture")
    problem = review(tmp_path)
    assert isinstance(problem, DataError)
    assert [(each.row, each.field) for each in problem.problems if each.severity == "error"] == [
        (1, "unsafe_image"),
        (3, "safe_image"),
    ]


def test_a_broken_journal_is_told_before_the_start(tmp_path):
    write_benchmark(tmp_path, rows=1)
    (tmp_path / "verdicts.jsonl").write_text("nonsense\n")
    assert "verdicts.jsonl, line 1" in str(review(tmp_path))


def test_a_port_in_use_is_told(tmp_path):
    write_benchmark(tmp_path, rows=1)
    with open_port(0) as listener:
        port = listener.getsockname()[1]
        assert f"--port {port} is in use" in str(review(tmp_path, "--port", str(port)))


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch, package):
    write_benchmark(tmp_path, rows=1)
    for name in [name for name in sys.modules if name == "safer_clip.benchmark.review" or name.startswith(package)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert f"{package} is not installed" in str(review(tmp_path))


def test_only_this_machine_is_listened_to():
    with open_port(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert listener.family == socket.AF_INET


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    write_benchmark(tmp_path, rows=1)
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written"):
        load_pairs(tmp_path)


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\nb", "\x1b[31m"])
def test_names_must_be_seen(name):
    with pytest.raises(ConfigError, match="--reviewer"):
        check_reviewer(name)
    assert check_reviewer(" Ann Öz ") == "Ann Öz"


def test_pairs_come_in_the_files_order_with_their_words_for_the_category(tmp_path):
    row = {"safe_caption": "a tea", "unsafe_caption": "a beer"}
    words = [("b", "violence", "weapons"), ("a", "violence", "violence"), ("d", "", "gambling"), ("c", None, None)]
    lines = [row | {"id": key, "safe_caption": f"tea {key}", "category": one, "tag": two} for key, one, two in words]
    (tmp_path / "quadruplets.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [(pair.id, pair.category, pair.tag) for pair in load_pairs(tmp_path)]
    assert found == [("b", "violence", "weapons"), ("a", "violence", None), ("d", "gambling", None), ("c", "unknown", None)]


def test_the_command_serves_and_ends_by_ctrl_c(tmp_path):
    first, *_ = write_benchmark(tmp_path, rows=2)
    append_verdict(tmp_path, Verdict("bob", first, "accept"))
    with start_review(tmp_path, "ann") as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as page:
            assert "Reviewer <b>ann</b>" in page.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address.split("?", maxsplit=1)[0])
        append_verdict(tmp_path, Verdict("ann", first, "accept"))
        told = interrupt(process)
        assert process.returncode == 0
    assert told == "ann: 1 of 2 pairs decided, 1 left\n"  # no log of requests, which would hold the token
    assert len(read_journal(tmp_path)) == 2
