import copy
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from PIL import Image

from safer_clip import data
from safer_clip.data import quadruplet_features
from safer_clip.fingerprints import fingerprint_model, fingerprint_preprocessing, fingerprint_table
from safer_clip.miniature import load_encoder, model_folder
from safer_clip.models.dual_encoder import DualEncoder


@pytest.fixture
def encoder():
    return load_encoder()


def build_table(folder: Path, embedded: bool = False, **changes) -> Dataset:
    """Two rows with pictures in files, or with the files' bytes."""
    cells = []
    for name, colour in (("safe", "green"), ("unsafe", "red")):
        path = folder / f"{name}.png"
        if not path.exists():
            Image.new("RGB", (8, 8), colour).save(path)
        cells.append({"bytes": path.read_bytes(), "path": None} if embedded else {"bytes": None, "path": str(path)})
    row = {
        "id": "a",
        "safe_caption": "a spoon",
        "unsafe_caption": "a knife",
        "safe_image": cells[0],
        "unsafe_image": cells[1],
        "category": "violence",
        "tag": None,
        "text_unsafe": True,
        "image_unsafe": True,
    }
    rows = [row | changes, row | {"id": "b", "unsafe_image": None}]
    return Dataset.from_dict({name: [r[name] for r in rows] for name in row}, features=quadruplet_features())


def test_the_same_model_twice(encoder):
    assert fingerprint_model(encoder.model) == fingerprint_model(load_encoder().model)
    assert len(fingerprint_model(encoder.model)) == 24


def test_where_a_model_lies_does_not_matter(encoder, tmp_path):
    moved = DualEncoder.load(shutil.copytree(model_folder(), tmp_path / "copy"))
    assert fingerprint_model(moved.model) == fingerprint_model(encoder.model)
    assert fingerprint_preprocessing(moved) == fingerprint_preprocessing(encoder)


def test_saving_and_loading_changes_nothing(encoder, tmp_path):
    encoder.save(tmp_path)
    loaded = DualEncoder.load(tmp_path)
    assert fingerprint_model(loaded.model) == fingerprint_model(encoder.model)
    assert fingerprint_preprocessing(loaded) == fingerprint_preprocessing(encoder)


@pytest.mark.parametrize("name", ["logit_scale", "visual_projection.weight"])
def test_a_changed_weight_counts(encoder, name):
    before = fingerprint_model(encoder.model)
    with torch.no_grad():
        encoder.model.get_parameter(name).view(-1)[-1] += 1e-5
    assert fingerprint_model(encoder.model) != before


def test_the_activation_counts(encoder):
    before = fingerprint_model(encoder.model)
    encoder.model.config.vision_config.hidden_act = "gelu"
    assert fingerprint_model(encoder.model) != before


def test_the_precision_counts(encoder):
    before = fingerprint_model(encoder.model)
    assert fingerprint_model(encoder.model.to(torch.bfloat16)) != before


def test_the_preprocessing_counts(encoder):
    before = fingerprint_preprocessing(encoder)
    processor = copy.deepcopy(encoder.processor)
    processor.image_mean = [0.4, 0.5, 0.5]
    tokenizer = copy.deepcopy(encoder.tokenizer)
    tokenizer.model_max_length = 12
    for changed in (replace(encoder, processor=processor), replace(encoder, tokenizer=tokenizer)):
        assert fingerprint_preprocessing(changed) != before


@pytest.mark.parametrize("embedded", [True, False])
def test_the_same_table_twice(tmp_path, embedded):
    assert fingerprint_table(build_table(tmp_path, embedded)) == fingerprint_table(build_table(tmp_path, embedded))


@pytest.mark.parametrize(
    "change", [{"id": "c"}, {"safe_caption": "a fork"}, {"unsafe_caption": "a gun"}, {"safe_image": None}]
)
def test_a_changed_cell_counts(tmp_path, change):
    assert fingerprint_table(build_table(tmp_path, **change)) != fingerprint_table(build_table(tmp_path))


def test_what_is_not_encoded_does_not_count(tmp_path):
    assert fingerprint_table(build_table(tmp_path, category="drugs")) == fingerprint_table(build_table(tmp_path))


def test_the_order_of_rows_counts(tmp_path):
    table = build_table(tmp_path)
    assert fingerprint_table(table.select([1, 0])) != fingerprint_table(table)


def test_changed_picture_bytes_count(tmp_path):
    before = fingerprint_table(build_table(tmp_path, embedded=True))
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "safe.png")
    assert fingerprint_table(build_table(tmp_path, embedded=True)) != before


def test_a_touched_picture_file_counts(tmp_path):
    before = fingerprint_table(build_table(tmp_path))
    os.utime(tmp_path / "safe.png", ns=(1, 1))
    assert fingerprint_table(build_table(tmp_path)) != before


def test_cutting_texts_elsewhere_counts():
    rows = [data.Quadruplet("1", *captions) for captions in (("ab", "c"), ("a", "bc"))]
    one, other = (data.build_table([row]) for row in rows)
    assert fingerprint_table(one) != fingerprint_table(other)
