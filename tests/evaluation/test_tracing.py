import json
import shutil
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.config import FrontierConfig, check_settings
from safer_clip.errors import ConfigError
from safer_clip.evaluation.suite import Suite
from safer_clip.evaluation.tracing import FrontierResults, measure_point, trace_frontier, trace_models
from safer_clip.fingerprints import fingerprint_model
from safer_clip.miniature import load_encoder, load_split, load_zero_shot
from safer_clip.miniature.suite import render_set
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.strength import load_adapter
from stand_ins import train_briefly


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train_briefly(tmp_path_factory.mktemp("tuned") / "safer")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "small"
    load_split("mini_nsfw_caps", rows=20).save_to_disk(path)
    return path


@pytest.fixture(scope="module")
def suite():
    positions = next(each for each in load_zero_shot() if each.name == "positions")
    return Suite({"small": load_split("mini_nsfw_caps", rows=20)}, [render_set(positions)])


def test_the_ends_are_the_base_model_and_the_trained_one(folder, suite):
    encoder = load_encoder()
    frontier = trace_frontier(load_adapter(encoder, folder), suite, (0.0, 0.5, 1.0), "SafeR-CLIP", {})
    tuned = DualEncoder.load(folder)
    weak, middle, strong = frontier.benchmarks["small"].points
    assert weak == measure_point(load_encoder(), suite, 0.0)["small"]
    assert strong == measure_point(tuned, suite, 1.0)["small"]
    assert frontier.model_fingerprint == fingerprint_model(tuned.model)
    assert weak != strong
    assert middle.strength == 0.5
    assert strong.safety == pytest.approx((strong.redirection["T*->V"] + strong.redirection["V*->T"]) / 2)
    assert frontier.benchmarks["small"].measures["zero_shot"].reference == (0.0, 100 / len(suite.zero_shot[0].prompts))


def test_the_command_writes_results_and_a_figure(folder, data, tmp_path):
    other = shutil.copytree(folder, tmp_path / "second")
    output = tmp_path / "frontier.json"
    call = ["frontier", "--model", str(folder), "--model", str(other), "--data", str(data), "--output", str(output)]
    done = CliRunner().invoke(app, [*call, "--strengths", "1, 0,0.5"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    results = FrontierResults.model_validate(json.loads(output.read_text()))
    assert list(results.frontier) == ["safer", "second"]  # of one method, so the folders' names tell them apart
    assert results.frontier["safer"].benchmarks == results.frontier["second"].benchmarks
    assert [point.strength for point in results.frontier["safer"].benchmarks["small"].points] == [0.0, 0.5, 1.0]
    assert results.base_model["name"] == "miniature"
    assert "small, recall, second: hypervolume" in done.output
    chart = ET.parse(tmp_path / "frontier-small.svg").getroot()
    words = ["".join(element.itertext()) for element in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert {"safer", "second", "base model"} <= {word.strip() for word in words}
    again = CliRunner().invoke(app, call)
    assert isinstance(again.exception, ConfigError)
    assert "--overwrite" in str(again.exception)


def test_one_model_of_a_method_goes_by_the_method(folder, data):
    config = FrontierConfig(models=(folder,), data=str(data), base="miniature", strengths=(1.0,))
    found = trace_models(config)
    assert list(found.frontier) == ["safer_clip"]
    assert found.frontier["safer_clip"].title == "SafeR-CLIP"


@pytest.mark.parametrize(("strengths", "message"), [("0,much", "valid number"), ("-1", "greater than"), ("3", "less than")])
def test_wrong_strengths_are_told_before_anything_is_loaded(strengths, message):
    with pytest.raises(ConfigError, match=message):
        check_settings(FrontierConfig, {"models": ["nowhere"], "data": "miniature", "strengths": strengths})


def test_folders_of_one_name_are_refused(folder, data, tmp_path):
    other = shutil.copytree(folder, tmp_path / "safer")
    with pytest.raises(ConfigError, match="different names"):
        trace_models(FrontierConfig(models=(folder, other), data=str(data)))


def test_captions_alone_have_no_frontier(folder, tmp_path):
    table = load_split("mini_nsfw_caps", rows=4).to_pandas()
    rows = [{"safe_caption": a, "unsafe_caption": b} for a, b in zip(table.safe_caption, table.unsafe_caption, strict=True)]
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ConfigError, match="captions has no safe_image and no unsafe_image"):
        trace_models(FrontierConfig(models=(folder,), data=str(path)))


def test_the_base_model_must_be_known(folder, data, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "training.json").unlink()
    with pytest.raises(ConfigError, match="--base"):
        trace_models(FrontierConfig(models=(copy,), data=str(data)))
