"""What the tests of the review share: a small benchmark of harmless stand-ins, and a review in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

from safer_clip.miniature import load_split


def write_benchmark(folder, rows=4):
    """A benchmark as `safer-clip benchmark build` writes it; returns its ids."""
    table = load_split("mini_nsfw_caps", rows=rows)
    lines = []
    for number, row in enumerate(table):
        paths = {}
        for side in ("safe", "unsafe"):
            path = folder / "images" / side / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            row[f"{side}_image"].save(path)
            paths[f"{side}_image"] = str(path.relative_to(folder))
        lines.append({name: row[name] for name in ("id", "safe_caption", "unsafe_caption", "category", "tag")} | paths)
    (folder / "quadruplets.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [line["id"] for line in lines]


def read_journal(folder):
    """The lines of the journal without their times, in short."""
    path = folder / "verdicts.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [tuple(row[name] for name in ("reviewer", "id", "verdict", "unsafe_caption") if name in row) for row in rows]


@contextmanager
def start_review(folder, reviewer):
    """Run the command in a process; gives it with its address, and kills it at the end if it still runs."""
    command = [
        sys.executable,
        "-m",
        "safer_clip",
        "benchmark",
        "review",
        str(folder),
        "--reviewer",
        reviewer,
        "--no-browser",
    ]
    flags = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=flags)
    try:
        told = []
        for line in process.stdout:
            told.append(line)
            if found := re.search(r"http://\S+", line):
                break
        else:
            raise AssertionError("".join(told))
        process.stdout.readline()  # how to end it
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def interrupt(process):
    """Press Ctrl-C; gives what the process still says."""
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=30)
    return told
