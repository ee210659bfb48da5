import json

import numpy as np
import pytest

from safer_clip.comparison import describe_table
from safer_clip.config import CompareConfig
from safer_clip.errors import ConfigError, DataError
from safer_clip.miniature import load_split
from safer_clip.miniature.settings import TRAINING_ROWS
from safer_clip.repeating import comparing, runs
from safer_clip.repeating.comparing import FILE, RepeatedResults, compare_variants
from safer_clip.repeating.plans import UNTOUCHED, Run, Variant, list_runs, name_methods
from safer_clip.repeating.processes import RunsFailedError
from safer_clip.repeating.runs import Bench, record_path
from safer_clip.report.repeated import draw_table, write_comparison
from safer_clip.results import Results

STEPS = {"max_steps": 2, "batch_size": 4}


def configure(folder, **changes):
    settings = {"clip_plus": STEPS, "hysac": STEPS, "safer_plus": STEPS}
    given = {"output": folder / "out", "benchmark": str(folder / "data"), "rows": 48, "seeds": 2, "attack": 3}
    return CompareConfig(**{**given, "strengths": (0.0, 0.5, 1.0), "settings": settings, **changes})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    load_split("mini_nsfw_caps", rows=16).save_to_disk(folder / "data")
    return folder


@pytest.fixture(scope="module")
def variants():
    return name_methods(["clip_plus", "hysac", "projection"])


@pytest.fixture(scope="module")
def compared(place, variants):
    return compare_variants(configure(place), variants, 1, "A comparison", "clip_plus")


def test_every_method_is_there_with_means_and_intervals(compared):
    assert list(compared.methods) == ["clip", "clip_plus", "hysac", "projection"]
    assert [found.seeds for found in compared.methods.values()] == [[0], [0, 1], [0, 1], [0]]
    tuned = compared.methods["clip_plus"]
    score = tuned.retrieval["data"]["T->V"]
    assert tuned.interval["retrieval/data/T->V/R@1"] == score.intervals["R@1"]
    assert score.intervals["R@1"][0] <= score.recall_1 <= score.intervals["R@1"][1]
    assert len(set(tuned.fingerprints)) == 2
    assert "seed" not in tuned.settings


def test_means_are_those_of_the_runs(compared, place):
    files = [json.loads((place / "out" / "runs" / f"hysac-{seed}.json").read_text()) for seed in (0, 1)]
    for direction in ("T->V", "V*->T"):
        each = [file["results"]["retrieval"]["data"][direction]["R@5"] for file in files]
        assert compared.methods["hysac"].retrieval["data"][direction].recall_5 == pytest.approx(np.mean(each))


def test_curves_attacks_and_geometry_are_told_of_each(compared):
    for key, found in compared.frontier.items():
        strengths = [point.strength for point in found.benchmarks["data"].points]
        assert strengths == ([0.0] if key == "clip" else [0.0, 0.5, 1.0])
        volume = found.hypervolume["data"]["recall"]
        assert volume.interval[0] <= volume.mean <= volume.interval[1]
    assert list(compared.attack) == list(compared.methods)
    assert compared.attack["hysac"]["data"].captions.queries == 3
    assert compared.geometry["clip_plus"]["data"].text_spread == pytest.approx(1.0, abs=0.2)
    assert compared.geometry["clip"] == {}
    full = compared.frontier["clip_plus"].benchmarks["data"].points[-1]
    assert full.redirection["T*->V"] == pytest.approx(compared.methods["clip_plus"].retrieval["data"]["T*->V"].recall_1)
    start = compared.frontier["projection"].benchmarks["data"].points[0]
    assert start.redirection["T*->V"] == pytest.approx(compared.methods["clip"].retrieval["data"]["T*->V"].recall_1)


def test_it_says_what_was_trained_on(compared):
    assert compared.data["training"] == describe_table(load_split("mini_visu", "train", 48))
    assert compared.base_model["parameters"] == 1_688_833


def test_a_training_set_is_read_once_and_as_it_is_trained_on(monkeypatch, tmp_path):
    read = []
    monkeypatch.setattr(runs, "load_data", lambda config: read.append((config.data, config.rows)) or len(read))
    bench = Bench(CompareConfig(output=tmp_path), None, None, {})
    variants = name_methods(["safer_clip", "clip_plus", "shield_clip"])[1:]
    assert [bench.read_training(Run(variant, seed)) for seed in (0, 1) for variant in variants] == [1, 1, 2, 1, 1, 2]
    assert read == [("miniature", TRAINING_ROWS), ("miniature-v2", TRAINING_ROWS)]


def test_benchmarks_without_pictures_are_refused_before_any_run(place, variants, tmp_path):
    load_split("mini_nsfw_caps", rows=4).remove_columns("unsafe_image").save_to_disk(tmp_path / "worded")
    config = configure(place, output=tmp_path / "out", benchmark=str(tmp_path / "worded"))
    with pytest.raises(ConfigError, match="worded has no unsafe_image"):
        compare_variants(config, variants, 1, "A comparison", "clip_plus")
    assert not (tmp_path / "out" / "runs").exists()


def test_bad_training_data_are_told_of_once_and_before_any_run(place, variants, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    row = {
        "id": "1",
        "safe_caption": "a dog",
        "unsafe_caption": "a knife",
        "safe_image": "bad.png",
        "unsafe_image": "gone.png",
    }
    (tmp_path / "bad.jsonl").write_text(json.dumps(row))
    config = configure(place, output=tmp_path / "out", data=str(tmp_path / "bad.jsonl"), image_root=tmp_path, settings={})
    with pytest.raises(DataError) as raised:
        compare_variants(config, variants, 1, "A comparison", "clip_plus")
    assert str(raised.value).count("bad.png (cannot identify image file") == str(raised.value).count("no such file") == 1
    assert not (tmp_path / "out" / "runs").exists()


def test_differences_are_on_the_same_queries(compared):
    assert set(compared.paired) == {"hysac", "projection"}
    pair = compared.paired["projection"].retrieval["data"]["T*->V"]
    ours, theirs = (compared.methods[key].retrieval["data"]["T*->V"].recall_1 for key in ("projection", "clip_plus"))
    assert pair.value == pytest.approx(ours - theirs, abs=1e-4)


def test_the_file_is_a_results_file_and_more(compared, place):
    content = json.loads((place / "out" / FILE).read_text())
    assert RepeatedResults.model_validate(content) == compared
    shared = {name: content[name] for name in Results.model_fields}
    extra = {"seeds", "interval", "fingerprints"}
    shared["methods"] = {
        key: {name: part for name, part in found.items() if name not in extra} for key, found in content["methods"].items()
    }
    assert list(Results.model_validate(shared).methods) == list(compared.methods)
    assert set(content["validity"]["controls"]["data"]) == {"shuffled", "collapsed"}


def test_tables_and_figures(compared, place):
    lines = list(draw_table(compared, "data"))
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "CLIP",
        "CLIP+",
        "HySAC",
        "Projection",
        "*control: shuffled*",
        "*control: collapsed*",
    ]
    written = write_comparison(compared, place / "out")
    assert [path.name for path in written] == ["comparison.md", "report.html", "comparison-data.svg"]
    assert "HySAC" in (place / "out" / "comparison-data.svg").read_text()
    page = (place / "out" / "report.html").read_text()
    assert "HySAC" in page
    assert "Along the curves" not in page  # nothing is classified here, so there is no zero-shot mean to draw them over


def test_what_is_done_is_not_done_again(compared, place, variants, monkeypatch):
    monkeypatch.setattr(Bench, "measure", None)
    told = []
    again = compare_variants(configure(place), variants, 1, "A comparison", "clip_plus", told.append)
    assert again.methods == compared.methods
    assert told == ["6 runs, 6 of them done already; reading what they share"]


def test_runs_of_other_settings_are_refused_before_any_work(compared, place, variants, monkeypatch):
    monkeypatch.setattr(comparing, "carry_out", None)
    with pytest.raises(ConfigError, match=r"(?s)was run with other settings.*attack: 3 then, 2 now"):
        compare_variants(configure(place, attack=2), variants, 1, "A comparison", "clip_plus")
    with pytest.raises(ConfigError, match="has no setting nonsense"):
        wrong = configure(place, settings={"clip_plus": {"objective": {"nonsense": 1.0}}})
        compare_variants(wrong, variants, 1, "A comparison", "clip_plus")


def test_a_damaged_record_is_named(compared, place, variants, tmp_path):
    path = record_path(tmp_path, Run(UNTOUCHED, 0))
    path.parent.mkdir()
    path.write_text('{"wanted": ')
    with pytest.raises(ConfigError, match=r"clip-0\.json cannot be read .* delete it to run it again"):
        compare_variants(configure(place, output=tmp_path), variants, 1, "A comparison", "clip_plus")


def test_one_failure_does_not_cost_the_others(place, tmp_path):
    broken = Variant("broken", "Broken", "clip_plus", {"batch_size": 500})
    config = configure(place, output=tmp_path / "out", seeds=1, attack=0, strengths=(0.0,))
    with pytest.raises(RunsFailedError, match=r"(?s)1 of 2 runs failed; the others are kept:.*broken-0: "):
        compare_variants(config, [broken, UNTOUCHED], 1, "A comparison", "clip_plus")
    assert [path.name for path in sorted((tmp_path / "out" / "runs").glob("*.json"))] == ["clip-0.json"]


@pytest.mark.slow
def test_processes_find_what_one_does(compared, place, variants, tmp_path):
    config = configure(place, output=tmp_path / "out", seeds=1)
    beside = compare_variants(config, variants, 2, "A comparison", "clip_plus")
    for key in ("projection", "clip_plus"):
        assert beside.methods[key].fingerprints[0] == compared.methods[key].fingerprints[0]
        assert beside.attack[key] == runs.find_record(config, Run(_find(variants, key), 0)).results.attack


def test_seeds_come_round_by_round_and_edits_once():
    listed = list_runs(name_methods(["uwm", "safer_clip"]), 2)
    assert [run.name for run in listed] == ["clip-0", "uwm-0", "safer_clip-0", "safer_clip-1"]


def _find(variants, key):
    return next(variant for variant in variants if variant.key == key)
