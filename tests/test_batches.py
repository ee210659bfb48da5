from dataclasses import replace

import numpy as np
import pytest
import torch

from safer_clip.batches import Collator, OrderedQuadruplets, ReferenceRows, split_reference, split_sides
from safer_clip.curriculum import TrainingOrder
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.labels import LabelRows
from safer_clip.miniature import load_split
from safer_clip.objectives.base import SIDES
from safer_clip.pairing import Mixture, Pairing

ROWS = [5, 2, 9, 2]


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "validation").select(range(12))


@pytest.fixture(scope="module")
def reference():
    """Row ``i`` of side ``s`` holds ``100 s + i``; row ``i`` is redirected to row ``11 - i``."""
    sides = {side: np.full((12, 3), 100 * s, np.float32) + np.arange(12)[:, None] for s, side in enumerate(SIDES)}
    store = QuadrupletEmbeddings(**{side: array.astype(np.float32) for side, array in sides.items()})
    return ReferenceRows(store, Pairing(np.arange(11, -1, -1), np.zeros(12, np.float32)))


@pytest.fixture(scope="module")
def items(table, encoder):
    order = TrainingOrder(np.array([*ROWS, 0, 1, 2, 3]), (2,), 4)
    quadruplets = OrderedQuadruplets(table, order, encoder.preparation)
    assert len(quadruplets) == 8
    return [quadruplets[i] for i in range(4)]


@pytest.fixture(scope="module")
def batch(encoder, reference, items):
    return Collator(encoder.preparation, reference)(items)


def test_items_come_in_training_order(table, encoder, items):
    assert [item["row"] for item in items] == ROWS
    cells = table[9]
    assert items[2]["captions"] == [cells["safe_caption"], cells["unsafe_caption"]]
    for side, image in enumerate((cells["safe_image"], cells["unsafe_image"])):
        expected = encoder.processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        assert torch.equal(items[2]["images"][side]["pixel_values"], expected)


def test_shapes(batch):
    assert batch["pixel_values"].shape == (8, 3, 48, 48)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert len(batch["input_ids"]) == 8
    assert batch["rows"].tolist() == ROWS
    assert {name: tuple(part.shape) for name, part in batch.items() if name.startswith("reference_")} == {
        f"reference_{name}": (4, 3) for name in (*SIDES, "target_text", "target_image")
    }


def test_the_safe_half_comes_first(batch, table, encoder):
    said = encoder.tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    wanted = [table[row][f"{kind}_caption"] for kind in ("safe", "unsafe") for row in ROWS]
    plain = encoder.tokenizer(wanted)["input_ids"]
    assert said == encoder.tokenizer.batch_decode(plain, skip_special_tokens=True)
    images = [table[row][f"{kind}_image"].convert("RGB") for kind in ("safe", "unsafe") for row in ROWS]
    assert torch.equal(batch["pixel_values"], encoder.processor(images=images, return_tensors="pt")["pixel_values"])


def test_texts_are_as_long_as_the_longest(batch, encoder):
    lengths = batch["attention_mask"].sum(dim=1)
    assert batch["input_ids"].shape[1] == int(lengths.max()) < encoder.tokenizer.model_max_length
    assert len(set(lengths.tolist())) > 1


def test_long_texts_are_cut(encoder, reference, items):
    long = [{**item, "captions": ("a dog " * 40, "a knife")} for item in items]
    assert Collator(encoder.preparation, reference)(long)["input_ids"].shape == (8, 24)


def test_the_reference_is_looked_up_by_row(reference):
    found = reference.look_up(ROWS)
    for s, side in enumerate(SIDES):
        assert found[f"reference_{side}"][:, 0].tolist() == [100 * s + row for row in ROWS]
    assert found["reference_target_text"][:, 0].tolist() == [11 - row for row in ROWS]
    assert found["reference_target_image"][:, 0].tolist() == [200 + 11 - row for row in ROWS]
    assert all(part.dtype == torch.float32 for part in found.values())


def test_a_mixture_is_mixed_as_it_is_looked_up(reference):
    store = QuadrupletEmbeddings(*(np.eye(4, dtype=np.float32)[:, np.roll(range(4), s)] for s in range(4)))
    mixture = Mixture(np.array([[0, 3]] * 3 + [[1, 2]]), np.array([[0.8, 0.2]] * 3 + [[0.5, 0.5]], np.float32))
    pairing = Pairing(np.array([0, 0, 0, 1]), np.zeros(4, np.float32), mixture)
    found = replace(reference, embeddings=store, pairing=pairing).look_up([3, 1])
    half, lean = 0.5**0.5, 0.8 / 0.68**0.5  # (1, 1) and (.8, .2), brought back to length 1
    text = torch.tensor([[0, half, half, 0], [lean, 0, 0, lean / 4]])
    assert torch.allclose(found["reference_target_text"], text)
    # an image of row i is the axis that comes two after the caption's
    assert torch.allclose(found["reference_target_image"], text.roll(2, dims=1))
    assert torch.equal(found["reference_safe_text"], torch.eye(4)[[3, 1]])
    assert found["reference_target_text"].dtype == torch.float32


def test_a_mixture_without_pictures_has_captions_alone(reference):
    mixture = Mixture(np.zeros((12, 1), np.int64), np.ones((12, 1), np.float32))
    nothing = np.empty((0, 3), np.float32)
    texts = replace(
        reference.embeddings, safe_image=nothing, unsafe_image=nothing, safe_text=np.eye(12, 3, dtype=np.float32)
    )
    found = replace(reference, embeddings=texts, pairing=replace(reference.pairing, mixture=mixture)).look_up([4, 5])
    assert set(found) == {"reference_safe_text", "reference_unsafe_text", "reference_target_text"}
    assert found["reference_target_text"].tolist() == [[1, 0, 0]] * 2


def test_a_looked_up_batch_is_a_copy(reference):
    reference.look_up([0])["reference_safe_text"].add_(7)
    assert reference.embeddings.safe_text[0, 0] == 0


def test_splitting_off_the_reference(batch):
    inputs, reference = split_reference(batch)
    assert set(inputs) == {"input_ids", "attention_mask", "pixel_values"}
    for side in SIDES:
        assert torch.equal(getattr(reference.own, side), batch[f"reference_{side}"])
    assert torch.equal(reference.target_text, batch["reference_target_text"])
    assert torch.equal(reference.target_image, batch["reference_target_image"])


def test_splitting_sides():
    text, image = torch.arange(12.0).view(6, 2), torch.arange(12.0, 24.0).view(6, 2)
    sides = split_sides(text, image, SIDES, 3)
    assert torch.equal(sides.safe_text, text[:3])
    assert torch.equal(sides.unsafe_text, text[3:])
    assert torch.equal(sides.safe_image, image[:3])
    assert torch.equal(sides.unsafe_image, image[3:])
    safe_alone = split_sides(text, image, ["safe_text", "safe_image"], 6)
    assert torch.equal(safe_alone.safe_text, text)
    assert safe_alone.unsafe_image is None
    texts_alone = split_sides(text, None, ["safe_text", "unsafe_text"], 3)
    assert torch.equal(texts_alone.unsafe_text, text[3:])
    assert texts_alone.safe_image is None


def test_a_batch_is_read_as_its_rows_one_by_one(table, encoder, items):
    order = TrainingOrder(np.array(ROWS), (1,), 4)
    for together, alone in zip(
        OrderedQuadruplets(table, order, encoder.preparation).__getitems__([0, 1, 2, 3]), items, strict=True
    ):
        assert (together["row"], together["captions"]) == (alone["row"], alone["captions"])
        both = zip(together["images"], alone["images"], strict=True)
        assert all(torch.equal(one["pixel_values"], other["pixel_values"]) for one, other in both)


def test_unsafe_halves_can_be_left_out(table, encoder, reference, batch):
    order = TrainingOrder(np.array(ROWS), (1,), 4)
    safe_alone = table.remove_columns(["unsafe_image", "unsafe_caption"])
    rows = OrderedQuadruplets(safe_alone, order, encoder.preparation, ["safe_text", "safe_image"])
    safe = Collator(encoder.preparation, reference)(rows.__getitems__([0, 1, 2, 3]))
    assert torch.equal(safe["pixel_values"], batch["pixel_values"][:4])
    assert len(safe["input_ids"]) == 4


def test_labels_come_with_their_rows(encoder, reference, items):
    labels = LabelRows(np.arange(12) % 2 == 0, np.arange(12) > 4)
    labelled = replace(reference, labels=labels)
    _, found = split_reference(Collator(encoder.preparation, labelled)(items))
    assert found.labels.text_unsafe.tolist() == [False, True, False, True]
    assert found.labels.image_unsafe.tolist() == [True, False, True, False]
    assert found.labels.text_unsafe.dtype == torch.bool
    assert split_reference(Collator(encoder.preparation, reference)(items))[1].labels is None
