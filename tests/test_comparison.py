import json

import numpy as np
import pytest

from safer_clip.comparison import Comparison, build_results, compare_methods, evaluate, load_suite
from safer_clip.config import DataConfig, EvaluateConfig, TrainConfig
from safer_clip.errors import ConfigError
from safer_clip.evaluation.suite import Suite
from safer_clip.fingerprints import fingerprint_model, fingerprint_table
from safer_clip.gate import Thresholds, check_thresholds
from safer_clip.miniature import load_encoder, load_split, load_zero_shot
from safer_clip.miniature.demo import run_demo
from safer_clip.miniature.settings import demo_config
from safer_clip.miniature.suite import render_set
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.objectives.base import SIDES
from safer_clip.reference import encode_table
from safer_clip.report.page import render_report
from safer_clip.report.terminal import tabulate
from safer_clip.results import Results, load_results, save_results
from safer_clip.tuning import read_training, train

ROWS = 12
TRAINING_ROWS = 96


@pytest.fixture(scope="module")
def table():
    return load_split("mini_nsfw_caps", rows=ROWS)


@pytest.fixture(scope="module")
def suite(table):
    positions = next(each for each in load_zero_shot() if each.name == "positions")
    benchmarks = {"mini_visu": load_split("mini_visu", rows=ROWS), "mini_nsfw_caps": table}
    return Suite(benchmarks, [render_set(positions)], harmless=True, seed=3)


@pytest.fixture(scope="module")
def demo(suite, tmp_path_factory):
    output = tmp_path_factory.mktemp("demo")
    said: list[str] = []
    return run_demo(output, 3, said.append, suite, rows=TRAINING_ROWS), output, said


def test_the_demo_measures_every_method_by_the_contract(demo):
    results, output, said = demo
    assert list(results.methods) == ["clip", "clip_plus", "safe_clip", "safer_clip"]
    for key, method in results.methods.items():
        assert set(method.retrieval) == {"mini_visu", "mini_nsfw_caps"}
        for scores in method.retrieval.values():
            assert set(scores) == {"T->V", "V->T", "T*->V", "V*->T"}
            assert all(score.queries == ROWS and score.unsafe_rate is not None for score in scores.values())
        assert set(method.zero_shot) == {"positions", "mean"}
        assert (method.drift.text > 0, method.drift.vision > 0, method.train_seconds > 0) == (key != "clip",) * 3
        if key != "clip":
            assert (output / key / "model.safetensors").is_file()
            assert method.settings["seed"] == 3
    assert any("SafeR-CLIP" in line for line in said)
    saved = results.model_dump(mode="json", by_alias=True)
    assert {"R@1", "R@5", "R@10", "R@20", "unsafe_rate"} <= set(saved["methods"]["clip"]["retrieval"]["mini_visu"]["T*->V"])


def test_a_written_model_measures_the_same(demo, suite):
    results, output, _ = demo
    again = Comparison(suite)
    found = again.add("safer_clip", "SafeR-CLIP", DualEncoder.load(output / "safer_clip"))
    assert found.retrieval == results.methods["safer_clip"].retrieval
    assert found.model_fingerprint == results.methods["safer_clip"].model_fingerprint


def test_validity_comes_with_the_table(demo):
    validity = demo[0].validity
    assert set(validity.pairing) == {"subject", "place", "cosine"}
    variants = validity.oracle["mini_nsfw_caps"]
    assert list(variants) == [f"{n} nearest (gallery {state})" for n in (1, 10) for state in ("untouched", "redirected")]
    controls = validity.controls["mini_nsfw_caps"]
    assert controls["collapsed"]["T->V"].recall_1 == 0
    assert controls["shuffled"]["T->V"].recall_1 < demo[0].methods["clip"].retrieval["mini_nsfw_caps"]["T->V"].recall_1


def test_results_say_what_they_were_made_of(demo, suite, encoder, tmp_path):
    results = demo[0]
    assert results.data["mini_nsfw_caps"] == {
        "rows": ROWS,
        "fingerprint": fingerprint_table(suite.benchmarks["mini_nsfw_caps"]),
    }
    assert results.data["training"]["rows"] == TRAINING_ROWS
    assert results.base_model["fingerprint"] == results.methods["clip"].model_fingerprint == fingerprint_model(encoder.model)
    assert {"torch", "transformers"} <= set(results.versions)
    assert {query.benchmark for query in results.gallery.queries} == {"mini_visu", "mini_nsfw_caps"}
    assert all(list(query.hits) == list(results.methods) for query in results.gallery.queries)
    save_results(tmp_path / "results.json", results)
    assert load_results(tmp_path / "results.json") == results


def test_methods_that_train_nothing_or_ask_for_labels_are_compared_as_well(tmp_path):
    suite, said = Suite({"caps": load_split("mini_nsfw_caps", rows=ROWS)}), []
    runs = [demo_config(name, tmp_path / name, rows=64) for name in ("projection", "uwm", "shield_clip")]
    runs[2] = runs[2].model_copy(update={"max_steps": 1})
    comparison, _ = compare_methods(
        load_encoder, load_split("mini_visu", "train", 64), suite, runs, tmp_path / "reference", said.append
    )
    assert list(comparison.methods) == ["clip", "projection", "uwm", "shield_clip"]
    assert comparison.methods["uwm"].drift.vision > 0 and comparison.methods["uwm"].loss == []
    assert comparison.methods["projection"].drift.text == 0  # in the miniature it edits the image encoder alone
    assert "mix_text_to_image" in comparison.methods["shield_clip"].loss[0]
    assert "Training ShieldCLIP on miniature-v2" in said
    assert read_training(tmp_path / "uwm").steps == 0 and read_training(tmp_path / "shield_clip").steps == 1
    tabulate(build_results(comparison, "three", "miniature", comparison.check_validity(None, {})))


def test_the_labelled_miniature_is_no_benchmark():
    with pytest.raises(ConfigError, match="'miniature-v2' is a training set; measure on 'miniature'"):
        load_suite(DataConfig(data="miniature-v2"))


def test_the_first_model_tells_which_side_moved(table, encoder):
    comparison = Comparison(Suite({"caps": table}))
    base = comparison.add("clip", "CLIP", encoder)
    assert base.gallery_encoders == {}
    other = comparison.add("other", "Other", encoder)
    for sides in other.gallery_encoders["caps"].values():
        assert sides["base"] == sides["tuned"]
    assert other.geometry["caps"].model_dump() == pytest.approx(dict.fromkeys(other.geometry["caps"].model_dump(), 1.0))
    assert base.geometry == {}
    assert base.safeground["caps"].group <= base.safeground["caps"].text


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "caps"
    table.save_to_disk(path)
    return path


def test_evaluate_measures_a_trained_folder_beside_its_base(folder, tmp_path):
    settings = {"batch_size": 4, "max_steps": 3, "curriculum": (), "learning_rate": 5e-3}
    train(TrainConfig(model="miniature", data=str(folder), output=tmp_path / "out", **settings))
    results = evaluate(EvaluateConfig(model=str(tmp_path / "out"), data=str(folder), base="miniature"))
    assert isinstance(results, Results)
    assert list(results.methods) == ["clip", "safer_clip"]
    tuned = results.methods["safer_clip"]
    assert tuned.drift.text > 0
    assert tuned.settings["max_steps"] == 3
    assert set(tuned.gallery_encoders) == set(tuned.retrieval) == {"caps"}
    assert results.base_model["name"] == "miniature"


def test_evaluate_without_a_base_measures_one_model(folder, table, encoder):
    said: list[str] = []
    results = evaluate(EvaluateConfig(model="miniature", data=str(folder)), said.append)
    assert list(results.methods) == ["clip"]
    assert results.methods["clip"].gallery_encoders == {}
    embedded = encode_table(encoder, table)
    right = (embedded.safe_text @ np.concatenate([embedded.safe_image, embedded.unsafe_image]).T).argmax(1) == np.arange(
        ROWS
    )
    assert results.methods["clip"].retrieval["caps"]["T->V"].recall_1 == pytest.approx(100 * right.mean())
    assert any("miniature" in line for line in said)


def test_a_foreign_model_beside_a_base_goes_under_its_folder_s_name(folder, encoder, tmp_path):
    encoder.save(tmp_path / "their-clip")
    results = evaluate(EvaluateConfig(model=str(tmp_path / "their-clip"), data=str(folder), base="miniature"))
    assert {key: method.title for key, method in results.methods.items()} == {"clip": "CLIP", "model": "their-clip"}


def test_a_broken_record_of_training_is_told(folder, encoder, tmp_path):
    encoder.save(tmp_path / "out")
    (tmp_path / "out" / "training.json").write_text('{"seconds": "long"}')
    with pytest.raises(ConfigError, match="seconds"):
        evaluate(EvaluateConfig(model=str(tmp_path / "out"), data=str(folder)))


def test_suites_are_named_after_their_data(folder):
    assert list(load_suite(DataConfig(data=str(folder))).benchmarks) == ["caps"]


def write_rows(path, table, sides):
    """A folder with a table that has the pictures of these sides only."""
    path.mkdir()
    lines = []
    for row in table:
        told = {name: row[name] for name in ("id", "safe_caption", "unsafe_caption", "category")}
        for side in sides:
            name = f"{row['id'].replace('/', '-')}-{side}.png"
            row[side].save(path / name)
            told[side] = name
        lines.append(json.dumps(told))
    (path / "quadruplets.jsonl").write_text("\n".join(lines))
    return path


def test_captions_alone_need_a_model_to_compare_with(table, tmp_path):
    rows = write_rows(tmp_path / "captions", table, [])
    with pytest.raises(ConfigError, match=r"captions alone.*--base"):
        evaluate(EvaluateConfig(model="miniature", data=str(rows)))


def test_captions_alone_are_measured_against_the_base_model(table, encoder, tmp_path):
    rows = write_rows(tmp_path / "captions", table, [])
    encoder.save(tmp_path / "same")
    told = []
    results = evaluate(EvaluateConfig(model=str(tmp_path / "same"), data=str(rows), base="miniature"), told.append)
    assert any("no safe_image and no unsafe_image" in sentence for sentence in told)
    found = results.methods["model"]
    assert found.retrieval == {"captions": {}} and found.safeground == {}
    scores = found.caption_redirection["captions"]
    assert (scores.recall_1, scores.unsafe_rate) == (0.0, 100.0)  # an untouched model finds the unsafe caption itself
    assert found.geometry["captions"].text_overlap == 1.0 and found.geometry["captions"].image_overlap is None
    assert results.data["captions"]["lacks"] == "safe_image, unsafe_image"
    assert results.gallery.queries == []
    assert "Captions alone" in render_report(results)
    assert tabulate(results)


def test_without_unsafe_pictures_the_other_directions_remain(table, encoder, tmp_path):
    rows = write_rows(tmp_path / "safe-only", table, ["safe_image"])
    results = evaluate(EvaluateConfig(model="miniature", data=str(rows)))
    whole = evaluate(EvaluateConfig(model="miniature", data=str(write_rows(tmp_path / "whole", table, SIDES[2:]))))
    found, expected = results.methods["clip"], whole.methods["clip"]
    assert list(found.retrieval["safe-only"]) == ["V->T"]
    assert found.retrieval["safe-only"]["V->T"] == expected.retrieval["whole"]["V->T"]
    assert list(found.plain_retrieval["safe-only"]) == ["T->V", "V->T", "T*->V"]
    assert found.plain_retrieval["safe-only"]["T*->V"] == expected.plain_retrieval["whole"]["T*->V"]
    assert "safe-only" in render_report(results)
    with pytest.raises(ConfigError, match=r"T\*->V was not measured on safe-only"):
        check_thresholds(results, Thresholds(max_unsafe_rate=50))


def test_results_without_zero_shot_or_training(table, encoder):
    comparison = Comparison(Suite({"caps": table}))
    comparison.add("clip", "CLIP", encoder)
    results = build_results(comparison, "One", "x", comparison.check_validity(None, {}))
    assert results.validity.oracle == {}
    assert results.methods["clip"].zero_shot == {}
    assert "training" not in results.data
    size = sum(weight.numel() for weight in encoder.model.parameters())
    assert results.base_model == {"name": "x", "fingerprint": fingerprint_model(encoder.model), "parameters": size}


def test_the_demo_tells_of_categories_and_of_harmless_queries_that_changed(demo, table):
    methods = demo[0].methods
    for method in methods.values():
        counts = {name: scores["T*->V"].queries for name, scores in method.categories["mini_nsfw_caps"].items()}
        assert counts == {name: list(table["category"]).count(name) for name in sorted(set(table["category"]))}
        found = sum(
            scores["T*->V"].recall_1 * scores["T*->V"].queries for scores in method.categories["mini_nsfw_caps"].values()
        )
        assert found / ROWS == pytest.approx(method.retrieval["mini_nsfw_caps"]["T*->V"].recall_1)
    assert methods["clip"].changed_answers == {}
    changed = methods["safe_clip"].changed_answers["mini_nsfw_caps"]
    assert set(changed) == {"T->V", "V->T"}
    assert all(each.queries == ROWS and each.interval[0] <= each.changed <= each.interval[1] for each in changed.values())


def test_the_demo_compares_every_trained_method_with_safer_clip_on_the_same_queries(demo):
    results = demo[0]
    assert list(results.paired) == ["clip_plus", "safe_clip"]
    for key, pair in results.paired.items():
        assert pair.against == "safer_clip"
        ours, theirs = results.methods[key], results.methods["safer_clip"]
        for name, figures in pair.retrieval.items():
            gap = ours.retrieval[name]["T*->V"].recall_1 - theirs.retrieval[name]["T*->V"].recall_1
            assert figures["T*->V"].value == pytest.approx(gap)
            assert set(figures) == {"T*->V", "V*->T", "redirection", "unsafe_rate", "recall"}
        assert pair.zero_shot.value == pytest.approx(ours.zero_shot["mean"] - theirs.zero_shot["mean"])


def test_without_safer_clip_the_first_trained_method_is_compared_with(suite, encoder):
    comparison = Comparison(Suite({"mini_visu": suite.benchmarks["mini_visu"]}, seed=1))
    for key in ("clip", "mine", "other"):
        comparison.add(key, key, encoder)
    (pair,) = comparison.compare_pairs().values()
    assert pair.against == "mine"
    assert pair.zero_shot is None
    assert pair.retrieval["mini_visu"]["recall"].interval == (0.0, 0.0)


def test_attacks_are_measured_when_asked_for(table, tmp_path):
    table.save_to_disk(tmp_path / "data")
    config = EvaluateConfig(model="miniature", data=str(tmp_path / "data"), attack=3)
    results = evaluate(config)
    attack = results.methods["clip"].attack["data"]
    assert attack.captions.queries == attack.pictures.queries == 3
    assert list(attack.captions.rates) == ["0", "1", "2", "4"]
    save_results(tmp_path / "results.json", results)
    assert load_results(tmp_path / "results.json") == results
    assert "Under attack" in render_report(results)
    assert evaluate(EvaluateConfig(model="miniature", data=str(tmp_path / "data"))).methods["clip"].attack == {}
