from itertools import product

import pytest

from safer_clip.miniature.dice import Dice
from safer_clip.miniature.places import PLACES
from safer_clip.miniature.scenes import (
    compose_single,
    draw_scene,
    pair_bucket,
    place_bucket,
    swap_accessory,
)
from safer_clip.miniature.vocabulary import load_vocabulary


@pytest.mark.parametrize(("bucket", "unsafe"), [*product(("train", "validation", "test"), (False, True))])
def test_scenes_keep_to_their_bucket_and_side(bucket, unsafe):
    for index in range(200):
        scene = draw_scene(Dice("test", index), "a", bucket, unsafe)
        assert scene.bucket == bucket
        assert scene.unsafe == unsafe


def test_every_subject_has_places_in_every_bucket():
    for thing in load_vocabulary().safe:
        buckets = [place_bucket(thing, place) for place in range(len(PLACES))]
        assert [buckets.count(name) for name in ("train", "validation", "test")] == [9, 1, 2]


def test_pairs_are_split_about_nine_one_two():
    vocabulary = load_vocabulary()
    buckets = [pair_bucket(s, a) for s in vocabulary.subjects for a in vocabulary.unsafe]
    assert buckets.count("train") / len(buckets) == pytest.approx(9 / 12, abs=0.02)
    assert buckets.count("test") / len(buckets) == pytest.approx(2 / 12, abs=0.02)


def test_swapping_needs_an_accessory():
    thing = load_vocabulary().find("dog")
    with pytest.raises(ValueError, match="no accessory"):
        swap_accessory(compose_single(Dice(0), "a", thing, 0), thing)


def test_dice_fall_the_same_for_ever():
    dice = Dice("a key", 7)
    assert [dice.between(0, 99) for _ in range(5)] == EXPECTED_ROLLS
    assert all(Dice("weights", i).weigh((("x", 0.0), ("y", 1.0))) == "y" for i in range(20))


EXPECTED_ROLLS = [84, 2, 24, 47, 69]
