import numpy as np
import pytest

from safer_clip.batches import ReferenceRows
from safer_clip.editing.projection import ProjectionEdit, _take_first
from safer_clip.errors import ConfigError
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.miniature import load_encoder, load_split
from safer_clip.pairing import pair_nearest
from safer_clip.reference import encode_table
from safer_clip.removal import span_differences


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


@pytest.fixture(scope="module")
def table():
    return load_split("mini_visu", "train", 60)


@pytest.fixture(scope="module")
def reference(encoder, table):
    embedded = encode_table(encoder, table)
    return ReferenceRows(embedded, pair_nearest(embedded.unsafe_text, embedded.safe_text))


def test_directions_of_difference():
    safe = np.zeros((3, 3))
    unsafe = np.array([[3.0, 0, 0], [-3.0, 0, 0], [0, 0, 1.0]])
    span = span_differences(unsafe, safe)[0][:, :2]
    assert np.abs(span.T) == pytest.approx(np.array([[1.0, 0, 0], [0, 0, 1.0]]))


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_that_the_space_has_not(rank):
    with pytest.raises(ConfigError, match=f"rank {rank} is not between 1 and the 3 dimensions"):
        _take_first(span_differences(np.ones((2, 3)), np.zeros((2, 3)))[0], rank)


def test_embeddings_of_the_edited_model_are_the_projected_ones(encoder, table, reference):
    edited = ProjectionEdit(rank=4)(encoder, table, reference).encoder
    found, before, targets = encode_table(edited, table), reference.embeddings, reference.pairing.targets
    for modality in ("text", "image"):
        safe, unsafe = getattr(before, f"safe_{modality}"), getattr(before, f"unsafe_{modality}")
        span = span_differences(unsafe, safe[targets])[0][:, :4]
        for side, rows in (("safe", safe), ("unsafe", unsafe)):
            expected = rows - rows @ span @ span.T
            expected /= np.linalg.norm(expected, axis=1, keepdims=True)
            assert getattr(found, f"{side}_{modality}") == pytest.approx(expected, abs=1e-5)
            assert np.abs(getattr(found, f"{side}_{modality}") @ span).max() < 1e-5


def test_an_encoder_of_strength_zero_is_left_alone(encoder, table, reference):
    edited = ProjectionEdit(rank=4, text_strength=0.0)(encoder, table, reference)
    assert np.array_equal(edited.encoder.encode_texts(["a dog"]), encoder.encode_texts(["a dog"]))
    assert set(edited.told) == {"rank", "image_safe_moved", "image_unsafe_moved"}


def test_it_tells_how_far_items_move(encoder, table, reference):
    told = ProjectionEdit(rank=4)(encoder, table, reference).told
    moved = encode_table(ProjectionEdit(rank=4)(encoder, table, reference).encoder, table).safe_text
    cosine = float((moved * reference.embeddings.safe_text).sum(1).mean())
    assert told["text_safe_moved"] == pytest.approx(1 - cosine, abs=1e-4)
    assert told["rank"] == 4


def test_captions_alone_change_the_text_encoder_alone(encoder, table, reference):
    full, nothing = reference.embeddings, np.zeros((0, reference.embeddings.safe_text.shape[1]), np.float32)
    texts = ReferenceRows(QuadrupletEmbeddings(full.safe_text, full.unsafe_text, nothing, nothing), reference.pairing)
    told = ProjectionEdit()(encoder, table, texts).told
    assert set(told) == {"rank", "text_safe_moved", "text_unsafe_moved"}


def test_a_model_without_a_projection_is_refused(encoder, table, reference):
    class Headless:
        config = encoder.model.config

    broken = type(encoder)(Headless(), encoder.tokenizer, encoder.processor)
    with pytest.raises(ConfigError, match=r"does not end in a projection.*objective.text_strength=0"):
        ProjectionEdit()(broken, table, reference)
