"""Training, pairing and reporting from the command line, on a small table of files."""

import json
import re

import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
from typer.testing import CliRunner

from safer_clip.cli import app
from safer_clip.methods import METHODS
from safer_clip.miniature import draw_pairs, load_encoder, load_tokenizer
from safer_clip.miniature.rendering import render_image
from safer_clip.models.dual_encoder import DualEncoder

runner = CliRunner()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with (folder / "quadruplets.jsonl").open("w") as file:
        for index, pair in enumerate(draw_pairs("mini_visu", "validation")[:24]):
            names = {f"{side}_image": f"{index}-{side}.png" for side in ("safe", "unsafe")}
            for side, scene in (("safe", pair.safe), ("unsafe", pair.unsafe)):
                render_image(scene).save(folder / names[f"{side}_image"])
            row = {"id": str(index), "safe_caption": pair.safe_caption, "unsafe_caption": pair.unsafe_caption, **names}
            file.write(json.dumps(row) + "\n")
    return folder


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def test_train_writes_an_ordinary_model_folder(table, tmp_path):
    settings = ["--set", "batch_size=8", "--set", "curriculum=[]", "--max-steps", 2]
    result = run("train", "--model", "miniature", "--data", table, "-o", tmp_path / "out", *settings)
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "training.json").read_text())
    assert told["config"]["method"] == "safer_clip"
    assert told["drift"][-1][0] > 0
    embeddings = DualEncoder.load(tmp_path / "out").encode_texts(["a dog"])
    assert embeddings.shape == (1, 128)


def test_each_ingredient_of_safer_clip_can_be_exchanged(table, tmp_path):
    chosen = ("pairing=mixture", "objective.negatives=batch", "curriculum_order=hard", "batch_size=8", "curriculum=[0.5]")
    settings = [part for setting in chosen for part in ("--set", setting)]
    where = ["train", "--model", "miniature", "--data", table, "-o", tmp_path / "out"]
    result = run(*where, *settings, "--max-steps", 1)
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "training.json").read_text())["settings"]
    assert (told["pairing"], told["objective"], told["curriculum_order"]) == ("mixture", {"negatives": "batch"}, "hard")
    wrong = run(*where, "--set", "objective.negatives=all")
    assert wrong.exit_code != 0
    assert "SafeR-CLIP's setting negatives is one of own, none, batch, not all" in str(wrong.exception)


def test_evaluate_writes_results_that_report_draws(table, tmp_path):
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0))):
        (tmp_path / "colours" / name).mkdir(parents=True)
        Image.new("RGB", (48, 48), colour).save(tmp_path / "colours" / name / "0.png")
    pool = [{"unsafe": False, "image": "colours/red/0.png"}, {"unsafe": True, "caption": "a knife"}]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))
    options = [
        "--zero-shot",
        tmp_path / "colours",
        "--unsafe-pool",
        tmp_path / "pool.jsonl",
        "-o",
        tmp_path / "results.json",
    ]
    found = run("evaluate", "--model", "miniature", "--data", table, *options)
    assert found.exit_code == 0, found.output
    assert set(json.loads((tmp_path / "results.json").read_text())["methods"]["clip"]["zero_shot"]) == {"colours", "mean"}
    methods = json.loads((tmp_path / "results.json").read_text())["methods"]
    assert methods["clip"]["unsafe_retrieval"]["pool"]["T*->V"]["queries"] == 1
    assert methods["clip"]["retrieval"][table.stem]["T->V"]["R@1"] > 50
    assert "T*→V" in found.output
    assert run("report", tmp_path / "results.json", "-o", tmp_path / "report.html").exit_code == 0
    again = run("evaluate", "--model", "miniature", "--data", table, "-o", tmp_path / "results.json")
    assert again.exit_code != 0
    assert "--overwrite" in str(again.exception)
    wrong = run(
        "evaluate", "--model", "miniature", "--data", table, "-o", tmp_path / "x", "--set", "colour=1", "--set", "rows=0"
    )
    assert "colour" in str(wrong.exception)
    assert "rows" in str(wrong.exception)


def test_settings_come_from_yaml_and_options_win(table, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model: miniature\ndata: {table}\noutput: {tmp_path / 'out'}\nmethod: safe_clip\nseed: 3\n")
    options = ["--config", recipe, "--seed", 5, "--set", "learning_rate=1e-5", "--set", "batch_size=8", "--dry-run"]
    result = run("train", *options)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["method"], told["seed"], told["learning_rate"]) == ("safe_clip", 5, 1e-5)
    assert told["epochs"] == METHODS["safe_clip"].epochs
    assert "24 quadruplets" in result.stderr
    assert "27 steps" in result.stderr  # nine epochs of three batches
    assert re.search(r"parameters, .* trained; measured on cpu: \d+\.\d GiB at the peak of a step", result.stderr)
    assert not (tmp_path / "out").exists()
    missing = run("train", *options, "--model", tmp_path)
    assert "it lacks config.json" in str(missing.exception)


def test_a_model_is_edited_without_training(table, tmp_path):
    options = ["--model", "miniature", "--data", table, "--method", "uwm", "--set", "objective.rows=10"]
    planned = run("train", *options, "-o", tmp_path / "out", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "24 quadruplets are fine; uwm trains nothing" in planned.stderr
    assert not (tmp_path / "out").exists()
    result = run("train", *options, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Edited for" in result.output and "drift: text" in result.output
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (record["steps"], record["loss"], record["edits"]["rows"]) == (0, [], 10)
    assert record["edits"]["text_changed_percent"] > 0
    assert not (tmp_path / "out" / "adapter").exists()
    edited, untouched = DualEncoder.load(tmp_path / "out"), load_encoder()
    assert not (edited.encode_texts(["a dog with a knife"]) == untouched.encode_texts(["a dog with a knife"])).all()
    again = run("train", *options, "-o", tmp_path / "again")
    assert again.exit_code == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "again")]
    assert weights[0] == weights[1]


def test_data_without_labels_are_told_to_a_method_that_needs_them(table, tmp_path):
    options = ["--model", "miniature", "--data", table, "--max-steps", 1, "--set", "batch_size=8"]
    asked = run("train", *options, "--method", "shield_clip", "-o", tmp_path / "shield")
    assert asked.exit_code == 0, asked.output
    assert "No label on the unsafe side of 24 of 24 captions and 24 of 24 pictures: they count as unsafe" in asked.output
    assert "No label" not in run("train", *options, "--method", "safe_clip", "-o", tmp_path / "safe").output


def test_all_wrong_settings_are_told_together(tmp_path):
    result = run("train", "--model", "miniature", "--set", "epochs=0", "--set", "colour=red", "-o", tmp_path / "out")
    assert result.exit_code != 0
    message = str(result.exception)
    assert all(name in message for name in ("data", "epochs", "colour"))


def test_pair_names_a_target_for_every_row(table, tmp_path):
    result = run("pair", "--model", "miniature", "--data", table, "-o", tmp_path / "pairs.jsonl")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [str(index) for index in range(24)]
    assert all(0 <= int(row["target_id"]) < 24 and -1 <= row["cosine"] <= 1.0001 for row in rows)
    assert run("pair", "--model", "miniature", "--data", table, "-o", tmp_path / "pairs.jsonl").exit_code != 0


@pytest.fixture
def visu(tmp_path):
    """Four quadruplets in Safe-CLIP's layout, with pictures of the size of photos beside the JSON."""
    folder = tmp_path / "visu"
    rows = {}
    for index, pair in enumerate(draw_pairs("mini_visu", "validation", 4)):
        safe, unsafe = folder / "train2017" / f"{index + 100:012d}.jpg", folder / "nsfw" / f"{index}.jpg"
        for path, scene in ((safe, pair.safe), (unsafe, pair.unsafe)):
            path.parent.mkdir(parents=True, exist_ok=True)
            render_image(scene).resize((640, 480)).save(path)
        captions = {"safe": pair.safe_caption, "nsfw": pair.unsafe_caption, "tag": "violance"}
        rows[str(index)] = captions | {"coco_id": index + 100, "nsfw_im_path": f"nsfw/{index}.jpg"}
    (folder / "visu_train.json").write_text(json.dumps({"info": {}, "data": rows}))
    return folder


@pytest.mark.slow
def test_a_full_size_model_trains_and_is_measured_on_visu(visu, tmp_path):
    """A ViT-B/32 with random weights in the ordinary layout, by the same two commands."""
    tokenizer = load_tokenizer()
    config = CLIPConfig()
    config.text_config.eos_token_id = tokenizer.eos_token_id
    torch.manual_seed(0)
    DualEncoder(CLIPModel(config), tokenizer, CLIPImageProcessorPil()).save(tmp_path / "vit-b-32")
    settings = ["--set", "batch_size=2", "--set", "curriculum=[]", "--max-steps", 2]
    trained = run("train", "--model", tmp_path / "vit-b-32", "--data", visu, "-o", tmp_path / "safer", *settings)
    assert trained.exit_code == 0, trained.output
    measured = run(
        *("evaluate", "--model", tmp_path / "safer", "--data", visu, "-o", tmp_path / "results.json"),
        *("--base", tmp_path / "vit-b-32"),
    )
    assert measured.exit_code == 0, measured.output
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["base_model"]["parameters"] > 150e6
    assert results["methods"]["safer_clip"]["drift"]["vision"] > 0
    assert results["methods"]["safer_clip"]["retrieval"]["visu"]["V*->T"]["queries"] == 4
    assert results["methods"]["clip"]["model_fingerprint"] != results["methods"]["safer_clip"]["model_fingerprint"]


def test_report_draws_a_page_from_a_results_file(tmp_path):
    score = {"R@1": 10.0, "R@5": 20.0, "R@10": 30.0, "R@20": 40.0, "unsafe_rate": 50.0, "queries": 10}
    scores = dict.fromkeys(("T->V", "V->T", "T*->V", "V*->T"), score)
    clip = {"title": "CLIP", "retrieval": {"toy": scores}, "zero_shot": {"mean": 80.0}}
    results = {
        "schema_version": 1,
        "created": "2026-01-01T00:00:00Z",
        "title": "A toy comparison",
        "command": "safer-clip demo",
        "seed": 0,
        "versions": {},
        "hardware": {},
        "data": {},
        "base_model": {},
        "methods": {"clip": clip},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    result = run("report", tmp_path / "results.json", "-o", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert "A toy comparison" in (tmp_path / "report.html").read_text()
