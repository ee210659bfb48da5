import csv
import json

from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.report.clip_benchmark import write_clip_benchmark


def build(paths, output):
    """What CLIP_benchmark's ``build`` does with its files (version 1.6, ``cli.py``): it flattens them into one table."""
    rows = []
    for path in paths:
        told = json.loads(path.read_text())
        row = {**told.pop("metrics"), **told}
        row["model_fullname"] = row["model"] + " " + row["pretrained"]
        rows.append(row)
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)


def test_files_go_through_the_build_step(full, read, tmp_path):
    full["base_model"]["name"] = "openai/clip-vit-large-patch14"
    full["methods"]["clip"]["plain_retrieval"] = {"caps": full["methods"]["clip"]["retrieval"]["mini_visu"]}
    build(write_clip_benchmark(read(full), tmp_path), tmp_path / "benchmark.csv")
    with (tmp_path / "benchmark.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["model_fullname"], row["dataset"]): row for row in rows}
    assert float(found["openai_clip-vit-large-patch14 safer_clip", "animals"]["acc1"]) == 0.58
    retrieval = found["openai_clip-vit-large-patch14 clip", "caps"]
    assert float(retrieval["image_retrieval_recall@1"]) == 0.6
    assert float(retrieval["text_retrieval_recall@5"]) == 0.65
    assert not any(row["dataset"] == "mean" for row in rows)


def test_the_command(full, read, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 1, **full, "gallery": {}}))
    full["methods"]["clip"].pop("plain_retrieval")
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 1, **full, "gallery": {}}))
    done = CliRunner().invoke(app, ["clip-benchmark", str(tmp_path / "results.json"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "out").glob("*.json"))) == 3
