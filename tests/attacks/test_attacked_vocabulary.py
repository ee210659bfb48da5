import pytest
import torch

from safer_clip.attacks.vocabulary import Vocabulary
from safer_clip.miniature import load_encoder, load_split


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.of(load_encoder())


def test_words_stand_by_themselves_and_are_no_special_tokens(vocabulary):
    tokenizer = vocabulary.preparation.tokenizer
    assert 500 < len(vocabulary.words) < len(tokenizer)
    assert not set(vocabulary.words.tolist()) & set(tokenizer.all_special_ids)
    assert vocabulary.read(vocabulary.write([[word] for word in vocabulary.words.tolist()])) == [
        [word] for word in vocabulary.words.tolist()
    ]
    assert vocabulary.placeholder in vocabulary.words


def test_framed_tokens_are_what_the_model_reads_of_the_text(vocabulary):
    texts = list(load_split("mini_nsfw_caps", rows=20)["unsafe_caption"])
    framed, prepared = vocabulary.frame(vocabulary.read(texts)), vocabulary.preparation.prepare_texts(texts)
    assert framed.keys() == prepared.keys()
    assert all(torch.equal(framed[name], prepared[name]) for name in framed)


def test_tokens_that_are_read_otherwise_cannot_be_written(vocabulary):
    (dog,) = vocabulary.read(["dog"])[0]
    parts = [token for token in range(5, 200) if token not in vocabulary.words]
    texts = vocabulary.write([[dog], [parts[0], dog]])
    assert texts == ["dog", None]
    assert vocabulary.write([]) == []


def test_long_captions_are_cut_where_the_model_stops_reading(vocabulary):
    assert len(vocabulary.read(["dog " * 50])[0]) == vocabulary.room == 22
