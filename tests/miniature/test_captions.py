"""Captions are grammatical by rule: articles, numbers, and nothing named that is not there."""

import re

import pytest

from safer_clip.miniature.captions import (
    BENCHMARK,
    PRETRAINING_SAFE,
    PRETRAINING_UNSAFE,
    TRAINING_SAFE,
    TRAINING_UNSAFE,
    write_caption,
)
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.scenes import compose_pair, draw_scene, swap_accessory
from safer_clip.miniature.vocabulary import load_vocabulary

VOWEL_EXCEPTIONS = {"unicorn"}
WORDINGS = [(PRETRAINING_SAFE, False), (PRETRAINING_UNSAFE, True), (TRAINING_SAFE, False), (TRAINING_UNSAFE, True)]


def captions(wording, unsafe, count=1500):
    for index in range(count):
        dice = Dice("captions", unsafe, index)
        scene = draw_scene(dice, "ab"[index % 2], "train", unsafe)
        yield scene, write_caption(scene, dice, wording)


@pytest.mark.parametrize(("wording", "unsafe"), WORDINGS)
def test_articles_agree_with_the_next_word(wording, unsafe):
    for _, caption in captions(wording, unsafe):
        for article, word in re.findall(r"\b(an?) ([a-z-]+)", caption):
            vowel = word[0] in "aeiou" and word not in VOWEL_EXCEPTIONS
            assert (article == "an") == vowel, caption


@pytest.mark.parametrize(("wording", "unsafe"), WORDINGS)
def test_captions_are_tidy(wording, unsafe):
    for _, caption in captions(wording, unsafe):
        assert caption == " ".join(caption.split())
        assert re.fullmatch(r"[a-z][a-z, -]+[a-z]", caption), caption


def test_plural_and_mass_names_take_no_article():
    names = [n.name for t in load_vocabulary().things if t.number != "singular" for n in t.names]
    for wording, unsafe in WORDINGS:
        for _, caption in captions(wording, unsafe):
            assert not [name for name in names if re.search(rf"\ban? {name}\b(?! [a-z]+ball)", caption)], caption


def test_unsafe_training_captions_name_the_unsafe_thing():
    for scene, caption in captions(TRAINING_UNSAFE, True):
        assert any(name.name in caption for name in scene.accessory.thing.names)


def test_a_minimal_edit_of_the_scene_is_one_of_the_caption():
    vocabulary = load_vocabulary()
    scene = compose_pair(Dice(0), "b", vocabulary.find("dog"), 0, vocabulary.find("kite"))
    edited = swap_accessory(scene, vocabulary.find("knife"))
    for index in range(50):
        before, after = (write_caption(s, Dice("edit", index), BENCHMARK) for s in (scene, edited))
        assert before.replace("kite", "knife") == after


def test_captions_leave_parts_out_and_name_kinds():
    texts = [caption for _, caption in captions(PRETRAINING_SAFE, False)]
    assert any(text in ("an animal", "a photo of an animal") or text.startswith("an animal ") for text in texts)
    assert sum(len(text.split()) <= 3 for text in texts) > 100
