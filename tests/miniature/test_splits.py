import time
from dataclasses import replace

import numpy as np
import pytest

from safer_clip.data import QUADRUPLET_COLUMNS
from safer_clip.errors import ConfigError
from safer_clip.miniature import draw_pairs, load_split
from safer_clip.miniature.figures import draw_plain_pool
from safer_clip.miniature.rendering import render
from safer_clip.miniature.scenes import place_bucket
from safer_clip.miniature.vocabulary import load_vocabulary


def combinations(scenes):
    return {(s.subject.index, s.accessory.thing.index if s.accessory else -1 - s.place) for s in scenes}


def scenes_of(benchmark, split):
    return [scene for pair in draw_pairs(benchmark, split) for scene in (pair.safe, pair.unsafe)]


def test_no_combination_leaks_between_splits():
    train, validation = (combinations(scenes_of("mini_visu", s)) for s in ("train", "validation"))
    tests = combinations(scenes_of("mini_visu", "test") + scenes_of("mini_nsfw_caps", "test"))
    assert min(len(train), len(validation), len(tests)) > 400
    assert train.isdisjoint(validation)
    assert train.isdisjoint(tests)
    assert validation.isdisjoint(tests)


def test_leaving_things_out_leaks_no_combination():
    told = {split: draw_pairs("mini_visu_v2", split, 1000) for split in ("train", "validation", "test")}
    seen = {split: {scene.bucket for p in pairs for scene in (p.shown, p.unsafe)} for split, pairs in told.items()}
    assert seen == {split: {split} for split in told}
    alone = {
        split: {place_bucket(p.unsafe.subject, p.unsafe.place) for p in pairs if not p.text_unsafe}
        for split, pairs in told.items()
    }
    assert alone == {split: {split} for split in told}


def test_zero_shot_and_plain_pool_use_test_combinations_only():
    train = combinations(scenes_of("mini_visu", "train"))
    assert combinations(scene for scene, _ in draw_plain_pool(200)).isdisjoint(train)


def test_tight_pairs_change_one_element_only():
    for pair in draw_pairs("mini_nsfw_caps"):
        assert pair.safe.subjects == pair.unsafe.subjects
        assert (pair.safe.place, pair.safe.backdrop) == (pair.unsafe.place, pair.unsafe.backdrop)
        assert pair.safe.accessory.thing.family == pair.unsafe.accessory.thing.family
        assert not pair.safe.unsafe
        assert pair.unsafe.unsafe


def test_loose_pairs_share_only_sometimes():
    pairs = draw_pairs("mini_visu", "test")
    assert 0.3 < np.mean([p.safe.subject is p.unsafe.subject for p in pairs]) < 0.5
    assert 0.3 < np.mean([p.safe.place == p.unsafe.place for p in pairs]) < 0.6


@pytest.fixture(scope="module")
def labelled():
    return draw_pairs("mini_visu_v2", "train", 4000)


def test_labels_have_the_published_mix(labelled):
    kinds = [(p.text_unsafe, p.image_unsafe) for p in labelled]
    shares = {kind: 100 * kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert 100 - shares[True, True] == pytest.approx(47.7, abs=2)
    for kind, share in {(True, False): 22.0, (False, True): 13.0, (False, False): 12.7}.items():
        assert shares[kind] == pytest.approx(share, abs=2)


def test_labels_are_the_truth(labelled):
    names = {name for thing in load_vocabulary().unsafe for n in thing.names for name in (n.name, n.plural)}
    for pair in labelled[:1000]:
        assert pair.shown.unsafe == pair.image_unsafe
        words = f" {pair.unsafe_caption} ".replace(",", " ")
        assert any(f" {name} " in words for name in names) == pair.text_unsafe


def test_the_second_miniature_is_the_first_one_row_by_row(labelled):
    assert labelled[:50] == draw_pairs("mini_visu_v2", "train", 50)
    assert [p.id for p in labelled[:2]] == ["mini_visu_v2/train/0", "mini_visu_v2/train/1"]
    for old, new in zip(draw_pairs("mini_visu", "train", 500), labelled, strict=False):
        assert (new.safe, new.safe_caption, new.category) == (old.safe, old.safe_caption, old.category)
        if new.text_unsafe and new.image_unsafe:
            assert replace(new, id=old.id) == old
        assert new.unsafe == replace(old.unsafe, place=new.unsafe.place)


def test_a_table_holds_the_labels_and_what_is_shown(labelled):
    table = load_split("mini_visu_v2", "train", 40)
    for row, pair in zip(table, labelled, strict=False):
        assert (row["text_unsafe"], row["image_unsafe"]) == (pair.text_unsafe, pair.image_unsafe)
        assert np.array_equal(np.asarray(row["unsafe_image"]), render(pair.shown))
    assert not all(table["image_unsafe"]) and all(load_split("mini_visu", "train", 40)["image_unsafe"])


def test_benchmark_captions_are_asked_once():
    pairs = draw_pairs("mini_nsfw_caps")
    captions = [caption for p in pairs for caption in (p.safe_caption, p.unsafe_caption)]
    assert len(captions) == len(set(captions)) == 2000


def test_load_split_gives_the_documented_table():
    table = load_split("mini_nsfw_caps")
    pair = draw_pairs("mini_nsfw_caps")[5]
    assert table.column_names == list(QUADRUPLET_COLUMNS)
    assert len(table) == 1000
    row = table[5]
    assert row["unsafe_caption"] == pair.unsafe_caption
    assert row["category"] == pair.category
    assert np.array_equal(np.asarray(row["unsafe_image"]), render(pair.unsafe))


def test_unknown_splits_are_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="mini_visu/train"):
        draw_pairs("mini_nsfw_caps", "train")


@pytest.mark.slow
def test_training_split_is_ready_in_ten_seconds():
    start = time.process_time()
    assert len(load_split("mini_visu", "train")) == 8000
    assert time.process_time() - start < 10
