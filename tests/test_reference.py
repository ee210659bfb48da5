import json
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
from datasets import Dataset, Image

from safer_clip.errors import ConfigError
from safer_clip.miniature import load_encoder, load_split
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.lora import LoraSettings, add_adapters
from safer_clip.reference import (
    MANIFEST,
    SIDES,
    ReferenceKey,
    ReferenceStoreError,
    encode_table,
    load_reference,
    open_store,
)


class KilledError(BaseException):
    """What a test raises where a process would die."""


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "validation").select(range(24))


@pytest.fixture(scope="module")
def key(encoder, table):
    return ReferenceKey.of(encoder, table)


@pytest.fixture
def root(encoder, table, tmp_path):
    """A folder that holds the table's store."""
    load_reference(encoder, table, tmp_path / "stores")
    return tmp_path / "stores"


def forbid_encoding(monkeypatch):
    def refuse(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(DualEncoder, "encode_texts", refuse)
    monkeypatch.setattr(DualEncoder, "encode_images", refuse)


def test_it_equals_the_embeddings_in_memory(encoder, table, root):
    stored, computed = load_reference(encoder, table, root), encode_table(encoder, table)
    for side in SIDES:
        array = getattr(stored, side)
        assert isinstance(array, np.memmap)
        assert (array.shape, array.dtype) == ((24, 128), np.float32)
        assert np.array_equal(array, getattr(computed, side))
        assert np.linalg.norm(array, axis=1) == pytest.approx(np.ones(24), abs=1e-5)


def test_the_sides_are_what_they_are_called(encoder, table, root):
    stored = load_reference(encoder, table, root)
    row = table[5]
    assert stored.unsafe_text[5] == pytest.approx(encoder.encode_texts([row["unsafe_caption"]])[0], abs=1e-5)
    assert stored.unsafe_image[5] == pytest.approx(encoder.encode_images([row["unsafe_image"]])[0], abs=1e-5)
    assert stored.safe_text[5] == pytest.approx(encoder.encode_texts([row["safe_caption"]])[0], abs=1e-5)
    assert stored.safe_image[5] == pytest.approx(encoder.encode_images([row["safe_image"]])[0], abs=1e-5)


def test_small_batches_give_the_same(encoder, table):
    whole, parts = encode_table(encoder, table), encode_table(encoder, table, batch_size=7)
    assert np.abs(whole.safe_text - parts.safe_text).max() < 1e-5
    assert np.abs(whole.unsafe_image - parts.unsafe_image).max() < 1e-5


def test_it_is_encoded_once(encoder, table, root, monkeypatch):
    forbid_encoding(monkeypatch)
    assert len(load_reference(encoder, table, root).safe_text) == 24
    with pytest.raises(AssertionError, match="encoded again"):
        load_reference(encoder, table.select(range(23)), root)


def test_progress_counts_every_item_once(encoder, table, tmp_path, monkeypatch):
    counted: list[int] = []

    @contextmanager
    def watch(label, total):
        assert total == 4 * 24
        yield counted.append

    monkeypatch.setattr("safer_clip.reference.show_progress", watch)
    load_reference(encoder, table, tmp_path)
    assert sum(counted) == 4 * 24
    load_reference(encoder, table, tmp_path)
    assert sum(counted) == 4 * 24


def test_another_table_gets_a_store_of_its_own(encoder, table, root):
    load_reference(encoder, table.select(range(8)), root)
    assert len(list(root.iterdir())) == 2


def test_a_store_of_something_else_is_refused(root, key):
    with pytest.raises(ReferenceStoreError, match="another model, preprocessing or data; remove"):
        open_store(root / key.name, replace(key, model="f" * 24), 24)


def test_a_changed_manifest_is_refused(encoder, table, root, key):
    path = root / key.name / MANIFEST
    manifest = json.loads(path.read_text())
    assert manifest["key"] == asdict(key)
    manifest["key"]["data"] = key.data[:8] + "0" * 16  # the folder's name stays the same
    path.write_text(json.dumps(manifest))
    with pytest.raises(ReferenceStoreError, match="another model"):
        load_reference(encoder, table, root)


@pytest.mark.parametrize("content", [None, "{", '{"key"'])
def test_a_broken_manifest_is_refused(encoder, table, root, key, content):
    path = root / key.name / MANIFEST
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ReferenceStoreError, match=r"no readable manifest\.json"):
        load_reference(encoder, table, root)


def test_another_number_of_rows_is_refused(root, key):
    with pytest.raises(ReferenceStoreError, match="24 rows for 30 quadruplets"):
        open_store(root / key.name, key, 30)


@pytest.mark.parametrize("side", SIDES)
def test_a_cut_file_is_refused(encoder, table, root, key, side):
    path = root / key.name / f"{side}.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ReferenceStoreError, match=rf"{side}\.npy is missing or cut short"):
        load_reference(encoder, table, root)


def test_a_lost_file_is_refused(encoder, table, root, key):
    (root / key.name / "safe_text.npy").unlink()
    with pytest.raises(ReferenceStoreError, match=r"safe_text\.npy is missing"):
        load_reference(encoder, table, root)


def test_what_a_killed_run_left_is_not_used(encoder, table, root, key, tmp_path):
    draft = tmp_path / "fresh" / f".{key.name}.x1"
    draft.parent.mkdir()
    (root / key.name).rename(draft)
    for side in SIDES:  # whole files of a wrong content
        np.save(draft / f"{side}.npy", np.zeros((24, 128), dtype=np.float32))
    stored = load_reference(encoder, table, draft.parent)
    assert np.array_equal(stored.safe_text, encode_table(encoder, table).safe_text)


@pytest.mark.parametrize("error", [RuntimeError, KilledError])
def test_a_failure_on_the_way_leaves_nothing(encoder, table, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(DualEncoder, "encode_images", fail)  # the texts are written by then
        with pytest.raises(error):
            load_reference(encoder, table, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(load_reference(encoder, table, tmp_path).safe_image) == 24


def test_a_store_made_meanwhile_is_used(encoder, table, root, key, tmp_path, monkeypatch):
    target = tmp_path / "other"

    def finish_elsewhere(*_):
        if not (target / key.name).exists():
            (root / key.name).rename(target / key.name)

    monkeypatch.setattr("safer_clip.progress.tqdm.update", finish_elsewhere)
    load_reference(encoder, table, target)
    assert [path.name for path in target.iterdir()] == [key.name]


def test_a_model_with_adapters_is_refused(table, tmp_path):
    encoder = load_encoder()
    add_adapters(encoder.model, LoraSettings(rank=2), 0)
    with pytest.raises(ConfigError, match="before adapters are added"):
        load_reference(encoder, table, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_pictures_are_named(encoder, table, tmp_path):
    stored = table.cast_column("unsafe_image", Image(decode=False)).to_dict()
    stored["unsafe_image"][3] = None
    holed = Dataset.from_dict(stored, features=table.features)
    with pytest.raises(ConfigError, match="1 of 24 rows have no unsafe_image"):
        load_reference(encoder, holed, tmp_path)
    assert list(tmp_path.iterdir()) == []
