import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safer_clip.attacks.captions import attack_captions
from safer_clip.attacks.targets import Targets
from safer_clip.attacks.vocabulary import Vocabulary
from safer_clip.miniature import load_split


def aim_at(encoder, wanted, others):
    gallery = torch.from_numpy(encoder.encode_texts([*wanted, *others]))
    return Targets.among(gallery, list(range(len(wanted))), range(len(gallery)))


def test_a_caption_one_word_away_is_found(encoder):
    """The gallery holds "a dog on the beach" and nothing nearer, so that replacing "park" wins at once."""
    targets = aim_at(encoder, ["a dog on the beach"], ["a dog in the park", "a cat on a mountain"])
    found = attack_captions(encoder, ["a dog on the mountain"], targets, 1, 64)
    assert found.margins[0, 0] < 0 or found.texts == ["a dog on the mountain"]
    found = attack_captions(encoder, ["a dog in the park"], targets, 2, 64)
    assert found.margins[0, 0] < 0 < found.margins[2, 0]
    assert found.immovable == 0


@pytest.fixture(scope="module")
def attacked(encoder):
    table = load_split("mini_nsfw_caps", rows=24)
    captions, safe = list(table["safe_caption"]), list(table["unsafe_caption"])
    targets = aim_at(encoder, safe, captions)
    return captions, targets, attack_captions(encoder, captions, targets, 3, 32)


def test_margins_are_those_of_the_final_texts_and_never_fall(encoder, attacked):
    captions, targets, found = attacked
    queries = torch.from_numpy(encoder.encode_texts(found.texts))
    margins = targets.measure_margins(queries, torch.arange(len(captions)))
    assert found.margins[-1] == pytest.approx(margins.numpy(), abs=1e-6)
    assert (np.diff(found.margins, axis=0) >= 0).all()
    assert (found.margins[-1] > 0).sum() > (found.margins[0] > 0).sum()


def test_edits_stay_within_the_budget_and_spare_special_tokens(encoder, attacked):
    captions, _, found = attacked
    vocabulary = Vocabulary.of(encoder)
    for before, after in zip(vocabulary.read(captions), vocabulary.read(found.texts), strict=True):
        replaced = sum(a != b for a, b in zip(before, after, strict=False))
        assert replaced + len(after) - len(before) <= 3
        assert not set(after) & set(encoder.tokenizer.all_special_ids)


@settings(max_examples=5)
@given(st.integers(0, 2), st.integers(2, 16))
def test_a_larger_budget_begins_as_the_smaller_one(encoder, edits, candidates):
    table = load_split("mini_nsfw_caps", rows=4)
    captions = list(table["safe_caption"])
    targets = aim_at(encoder, list(table["unsafe_caption"]), captions)
    small = attack_captions(encoder, captions, targets, edits, candidates)
    large = attack_captions(encoder, captions, targets, edits + 1, candidates)
    assert (large.margins[: edits + 1] == small.margins).all()


def test_what_the_tokenizer_does_not_give_back_is_counted_and_left(encoder, monkeypatch):
    monkeypatch.setattr(Vocabulary, "write", lambda _self, tokens: [None] * len(tokens))
    targets = aim_at(encoder, ["a dog on the beach"], ["a cat"])
    found = attack_captions(encoder, ["a cat"], targets, 2, 8)
    assert (found.immovable, found.texts) == (1, ["a cat"])
    assert (found.margins == found.margins[0]).all()
