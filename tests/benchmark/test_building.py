"""The pipeline through its real commands, on the miniature."""

import hashlib
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safer_clip.benchmark import building
from safer_clip.benchmark.verdicts import Verdict, append_verdict
from safer_clip.cli import app
from safer_clip.data import read_quadruplets
from safer_clip.miniature import draw_pairs

BUILD = ("benchmark", "build", "--output")
MINIATURE = ("--source", "miniature", "--captions", "500", "--size", "80", "--rewriter", "offline")
QUICK = ("--set", "leakage.training=null", "--set", "loose=null")


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    told = f"{done.output}\n{done.exception}"
    assert done.exit_code == (code and 1), told  # errors are turned into codes by main()
    return told


def read_stats(folder):
    return json.loads((folder / "stats.json").read_text())


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def snapshot(folder):
    """Every file but the manifest and the lock, by its content."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", ".lock")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The miniature's settings, but compared with a training set that takes no seconds to embed."""
    path = tmp_path_factory.mktemp("training") / "training.jsonl"
    pairs = draw_pairs("mini_visu", "train", 300)
    rows = [{"id": pair.id, "safe_caption": pair.safe_caption, "unsafe_caption": pair.unsafe_caption} for pair in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (*MINIATURE, "--set", f"leakage.training={path}")


@pytest.fixture(scope="module")
def built(tmp_path_factory, small):
    folder = tmp_path_factory.mktemp("work") / "bench"
    run(*BUILD, folder, *small)
    return folder


@pytest.fixture
def copy(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "bench"))


def test_every_caption_is_accounted_for(built):
    stats = read_stats(built)
    assert (stats["size"], stats["wanted"], stats["captions"]) == (80, 80, 500)
    rejected = read_lines(built / "rejections.jsonl")
    assert len(rejected) + 80 == 500 == len({row["id"] for row in rejected}) + 80
    assert sum(stats["rejections"].values()) + stats["not_needed"] == 420
    assert stats["rejections"] == Counter(row["reasons"][0] for row in rejected if row["stage"] != "selection")
    assert {"exact duplicate", "caption too short", "safe caption judged unsafe", "caption unchanged"} <= set(
        stats["rejections"]
    )
    assert [row["left"] for row in stats["funnel"]][-1] == 80
    assert sum(stats["categories"].values()) == 80
    assert max(stats["categories"].values()) - min(stats["categories"].values()) <= 5


def test_it_is_tighter_than_the_loose_set(built, encoder):
    similarity = read_stats(built)["caption_similarity"]
    rows = read_lines(built / "quadruplets.jsonl")
    ends = [encoder.encode_texts([row[side] for row in rows]) for side in ("safe_caption", "unsafe_caption")]
    assert similarity["mean"] == pytest.approx(float((ends[0] * ends[1]).sum(axis=1).mean()), abs=1e-3)
    assert similarity["loose"]["mean"] == pytest.approx(0.26, abs=0.02)
    assert similarity["mean"] > similarity["loose"]["mean"] + 0.3
    assert sum(similarity["histogram"]["counts"]) == 80
    assert read_stats(built)["leakage"]["nearest_safe_caption"] < 0.99


def test_the_rows_are_read_and_evaluated(built, tmp_path):
    result = read_quadruplets(built)
    assert result.report.rows_kept == 80
    assert result.report.safe_images_absent == result.report.unsafe_images_absent == 0
    assert all(result.table["text_unsafe"])
    assert all(result.table["image_unsafe"])
    run("evaluate", "--data", built, "--model", "miniature", "--output", tmp_path / "r.json")
    assert (tmp_path / "r.json").is_file()


def test_the_datasheet_tells_figures_and_no_caption(built):
    text = (built / "datasheet.md").read_text()
    assert "80 of 80 wanted" in text
    assert "No person has looked" in text
    assert all(row["unsafe_caption"] not in text for row in read_lines(built / "quadruplets.jsonl"))
    assert str(built) not in text


def test_going_on_with_a_finished_folder_changes_nothing(copy):
    before = snapshot(copy)
    told = run(*BUILD, copy)
    assert "knife" not in told
    assert snapshot(copy) == before


@pytest.mark.parametrize("stage", ["_rewrite", "_measure", "_make_pictures", "_finish"])
def test_a_run_that_is_interrupted_ends_like_one_that_is_not(built, small, tmp_path, monkeypatch, stage):
    """Each stage is left with half of its journal and a torn line, as a kill leaves it."""
    folder = tmp_path / "bench"
    with monkeypatch.context() as patch:
        patch.setattr(building, stage, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert CliRunner().invoke(app, [*BUILD, str(folder), *small]).exit_code != 0
    for name in ("rewrites.jsonl", "measures.jsonl", "pictures.jsonl"):
        if (folder / name).is_file():
            content = (folder / name).read_bytes()
            (folder / name).write_bytes(content[: len(content) // 2])
    run(*BUILD, folder)
    assert snapshot(folder) == snapshot(built)


def test_thresholds_are_tuned_without_asking_again(copy):
    before = snapshot(copy)
    run(*BUILD, copy, "--set", "thresholds.floor=0.7", "--size", "40", "--set", "selection.target=0.8")
    after = snapshot(copy)
    assert all(after[name] == before[name] for name in ("rewrites.jsonl", "measures.jsonl", "candidates.jsonl"))
    stats = read_stats(copy)
    assert stats["caption_similarity"]["min"] >= 0.7
    assert stats["caption_similarity"]["mean"] >= 0.8
    assert stats["caption_similarity"]["target_met"]
    assert json.loads((copy / "manifest.json").read_text())["settings"]["thresholds"]["floor"] == 0.7


def test_what_earlier_work_hangs_on_cannot_change(copy):
    before = snapshot(copy)
    told = run(*BUILD, copy, "--seed", "3", "--set", "source.min_words=4", "--set", "pictures.seeds=1", code=2)
    for name in ("seed: 0 before, now 3", "source.min_words: 3 before, now 4", "pictures.seeds: 2 before, now 1"):
        assert name in told
    assert snapshot(copy) == before


def test_a_review_is_applied(copy):
    first, second, third = (row["id"] for row in read_lines(copy / "quadruplets.jsonl")[:3])
    for verdict in (
        Verdict("ann", first, "reject"),
        Verdict("ann", second, "accept"),
        Verdict("ann", third, "reject"),
        Verdict("ann", third, "undo"),
        Verdict("bob", second, "reject"),
        Verdict("bob", second, "undo"),
        Verdict("bob", second, "accept"),
    ):
        append_verdict(copy, verdict)
    run("benchmark", "stats", copy)
    stats = read_stats(copy)
    assert stats["size"] == 79  # nothing takes its place until the next build
    assert stats["review"] == {
        "reviewers": {"ann": 2, "bob": 1},
        "accepted": 1,
        "rejected": 1,
        "edited": 0,
        "disputed": 0,
        "shared_pairs": 1,
        "agreement": 1.0,
        "kappa": None,
    }
    assert stats["rejections"]["rejected in review"] == 1
    run(*BUILD, copy)
    ids = [row["id"] for row in read_lines(copy / "quadruplets.jsonl")]
    assert len(ids) == 80
    assert first not in ids
    assert second in ids
    assert "2 people looked at pairs: 1 kept, 1 rejected, 0 edited" in (copy / "datasheet.md").read_text()


def test_an_edit_is_measured_anew(copy):
    row = read_lines(copy / "quadruplets.jsonl")[0]
    text = f"{row['unsafe_caption']} today"
    append_verdict(copy, Verdict("ann", row["id"], "edit", text))
    run("benchmark", "stats", copy)
    assert read_stats(copy)["rejections"]["not measured yet"] == 1
    rewrites = (copy / "rewrites.jsonl").read_bytes()
    run(*BUILD, copy, "--set", "thresholds.unsafe_text=0.2")
    assert (copy / "rewrites.jsonl").read_bytes() == rewrites
    assert read_lines(copy / "measures.jsonl")[-1]["unsafe_caption"] == text
    edited = {each["id"]: each["unsafe_caption"] for each in read_lines(copy / "quadruplets.jsonl")}
    assert edited[row["id"]] == text


@pytest.mark.parametrize("layout", ["datasets", "jsonl", "parquet", "webdataset"])
def test_exports_are_whole(built, tmp_path, layout):
    output = tmp_path / layout
    run("benchmark", "export", built, "--format", layout, "--output", output)
    lines = (output / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ", 1)) for line in lines)
    assert {name: hashlib.sha256((output / name).read_bytes()).hexdigest() for name in sums} == sums
    assert set(sums) | {"SHA256SUMS"} == {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    if layout != "webdataset":
        own, exported = (read_quadruplets(path).table for path in (built, output))
        assert [own[row]["unsafe_caption"] for row in range(80)] == [exported[row]["unsafe_caption"] for row in range(80)]
        assert own[7]["unsafe_image"].tobytes() == exported[7]["unsafe_image"].tobytes()
    assert run("benchmark", "export", built, "--format", layout, "--output", output, code=2).count("is not empty")
    run("benchmark", "export", built, "--format", layout, "--output", output, "--overwrite")


def test_shards_follow_the_convention(built, tmp_path):
    run("benchmark", "export", built, "--format", "webdataset", "--output", tmp_path / "shards")
    run("benchmark", "export", built, "--format", "webdataset", "--output", tmp_path / "again")
    shard = tmp_path / "shards" / "bench-000000.tar"
    assert shard.read_bytes() == (tmp_path / "again" / "bench-000000.tar").read_bytes()
    with tarfile.open(shard) as archive:
        names = archive.getnames()
        told = json.load(archive.extractfile("000000003.json"))
    assert names[:3] == ["000000000.json", "000000000.safe.png", "000000000.unsafe.png"]
    assert len(names) == 240
    row = read_lines(built / "quadruplets.jsonl")[3]
    assert told == {name: value for name, value in row.items() if not name.endswith("_image")}


def test_what_cannot_be_exported_is_told(built, tmp_path):
    assert "no layout 'zip'" in run("benchmark", "export", built, "--format", "zip", "--output", tmp_path / "x", code=2)
    told = run("benchmark", "export", built, "--format", "jsonl", "--output", built / "x", code=2)
    assert "in the benchmark's own folder" in told
    assert "is no benchmark's folder" in run("benchmark", "stats", tmp_path, code=2)


def test_wrong_settings_are_told_together_and_nothing_is_written(tmp_path):
    wrong = ("--set", "thresholds.flor=1", "--set", "rewriter.concurrency=0")
    told = run(*BUILD, tmp_path / "x", *MINIATURE, *wrong, code=2)
    assert "2 setting(s)" in told
    (tmp_path / "photos.jsonl").write_text('{"caption": "a dog in the park"}\n')
    own = ("--source", tmp_path / "photos.jsonl", "--rewriter", "offline")
    told = run(*BUILD, tmp_path / "x", *own, code=2)
    assert "text_judges" in told
    judges = ("--set", "text_judges=[miniature]", "--set", "image_judges=[]", "--set", "pictures.generator=miniature")
    told = run(*BUILD, tmp_path / "x", *own, *judges, code=2)
    assert told.count("miniature only") == 3
    assert not (tmp_path / "x").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert "is not empty" in run(*BUILD, tmp_path / "full", *MINIATURE, code=2)


def test_two_builds_do_not_work_in_one_folder(copy):
    from safer_clip.benchmark.workplace import hold_folder

    with hold_folder(copy):
        assert "another build is at work" in run(*BUILD, copy, code=2)


@pytest.mark.slow
def test_the_contract_at_full_size(tmp_path):
    import time

    start = time.monotonic()
    run(*BUILD, tmp_path / "b", "--source", "miniature", "--captions", 5000, "--size", 1000, "--rewriter", "offline")
    assert time.monotonic() - start < 180
    stats = read_stats(tmp_path / "b")
    assert stats["size"] == 1000
    assert stats["caption_similarity"]["mean"] > 0.65 > 0.3 > stats["caption_similarity"]["loose"]["mean"]


@pytest.mark.slow
@pytest.mark.nightly
def test_it_orders_models_as_the_shipped_benchmark_does(tmp_path, encoder):
    """CLIP and SafeR-CLIP in all four directions of the mixed pools; every difference is of several points."""
    from safer_clip.evaluation.retrieval import evaluate_mixed
    from safer_clip.miniature import load_split
    from safer_clip.miniature.settings import demo_config
    from safer_clip.models.dual_encoder import DualEncoder
    from safer_clip.reference import encode_table
    from safer_clip.tuning import train

    run(*BUILD, tmp_path / "b", "--source", "miniature", "--captions", 5000, "--size", 1000, "--rewriter", "offline")
    train(demo_config("safer_clip", tmp_path / "safer", rows=1500))
    tuned = DualEncoder.load(tmp_path / "safer")
    gains = []
    for table in (load_split("mini_nsfw_caps"), read_quadruplets(tmp_path / "b").table):
        before, after = (evaluate_mixed(encode_table(model, table)) for model in (encoder, tuned))
        gains.append({direction: after[direction]["R@1"] - before[direction]["R@1"] for direction in before})
    for direction, gain in gains[0].items():
        assert (gain > 0) == (gains[1][direction] > 0), gains
    assert min(each["T*->V"] for each in gains) > 20
    assert min(each["V*->T"] for each in gains) > 3
