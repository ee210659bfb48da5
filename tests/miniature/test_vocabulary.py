import re

import pytest

from safer_clip.miniature.captions import noun_phrase
from safer_clip.miniature.vocabulary import load_vocabulary


def test_the_world_has_the_documented_size():
    vocabulary = load_vocabulary()
    assert len(vocabulary.safe) == 294
    assert len(vocabulary.unsafe) == 45
    assert len(vocabulary.accessories) == 62
    assert vocabulary.groups == ("animals", "food", "vehicles and buildings", "household", "play and dress")
    assert vocabulary.categories == ("weapons", "horror", "substances", "gambling", "abuse", "adult")


def test_no_name_stands_for_two_things():
    names = [name.name for thing in load_vocabulary().things for name in thing.names]
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated


def test_names_are_plain_english_words():
    for thing in load_vocabulary().things:
        for name in thing.names:
            assert re.fullmatch(r"[a-z]+([ -][a-z]+)*", name.name), name
            assert re.fullmatch(r"[a-z]+([ -][a-z]+)*", name.plural), name


def test_every_unsafe_category_is_akin_to_a_family():
    vocabulary = load_vocabulary()
    families = {thing.family for thing in vocabulary.accessories}
    assert {thing.family for thing in vocabulary.unsafe} == families


@pytest.mark.parametrize(
    ("name", "phrase"),
    [("dog", "a dog"), ("owl", "an owl"), ("unicorn", "a unicorn"), ("bread", "bread"), ("glasses", "glasses")],
)
def test_articles(name, phrase):
    assert noun_phrase(load_vocabulary().find(name)) == phrase


def test_counts_take_the_plural():
    assert noun_phrase(load_vocabulary().find("wolf"), 3) == "three wolves"


def test_unknown_names_are_named():
    with pytest.raises(KeyError, match="zeppelin"):
        load_vocabulary().find("zeppelin")
