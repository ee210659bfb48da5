"""The pure parts: words, duplicates, thresholds, selection, language, journals."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.benchmark.candidates import Candidate, Captioned, Rejection, name_file
from safer_clip.benchmark.choosing import Chooser, sample_items
from safer_clip.benchmark.deduplication import (
    find_exact_duplicates,
    find_near_duplicates,
    find_nearest,
    normalise_caption,
)
from safer_clip.benchmark.filtering import Rules, check_pictures, check_texts
from safer_clip.benchmark.language import count_words, is_language
from safer_clip.benchmark.measures import Measure, Pair, measure_kept_words, split_words
from safer_clip.benchmark.refusals import load_words
from safer_clip.benchmark.selection import Eligible, select_pairs, share_places
from safer_clip.benchmark.settings import SelectionSettings, SourceSettings, Thresholds


def test_kept_words_by_hand():
    assert split_words("A well-known man's dog, 3 cats!") == ["a", "well-known", "man's", "dog", "3", "cats"]
    for safe, unsafe, kept in (
        ("a dog in the park", "a dog with a knife in the park", 1.0),  # added only
        ("a dog with a ball", "a dog with a knife", 4 / 5),
        ("a dog", "two cats", 0.0),
        ("one two three four", "four three two one", 1 / 4),  # order counts
        ("", "a dog", 0.0),
    ):
        assert measure_kept_words(safe, unsafe) == kept


@given(st.text(), st.text())
def test_kept_words_are_a_share(safe, unsafe):
    assert 0 <= measure_kept_words(safe, unsafe) <= 1
    assert not split_words(safe) or measure_kept_words(safe, safe) == 1


def test_exact_duplicates_forget_case_and_punctuation():
    captions = ["A dog.", "a cat", "a  DOG", "a dog's", "ａ cat!"]
    assert find_exact_duplicates(captions).tolist() == [False, False, True, False, True]
    assert normalise_caption("A  dog, (big)_one") == "a dog big one"


def test_near_duplicates_by_hand():
    degrees = np.radians([0, 10, 20, 90, 95])  # neighbours at 10 degrees have a cosine of 0.985, at 20 of 0.940
    points = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
    # 10 is near 0 and goes; 20 is near 10 only, which is gone, so it stays
    for chunk in (1, 2, 3, 100):
        assert find_near_duplicates(points, 0.97, chunk).tolist() == [False, True, False, False, True]
    assert find_near_duplicates(points[:0], 0.9).shape == (0,)
    assert find_nearest(points[:2], points[3:], 1) == pytest.approx(np.cos(np.radians([90, 80])), abs=1e-6)
    assert find_nearest(points[:2], points[:0]).tolist() == [-1, -1]


@given(st.integers(1, 60), st.integers(1, 20), st.floats(0.3, 0.95), st.integers(0, 2**20))
def test_what_near_duplicates_leave_is_apart(count, chunk, threshold, seed):
    points = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    dropped = find_near_duplicates(points, threshold, chunk)
    assert (dropped == find_near_duplicates(points, threshold, 1)).all()
    kept = points[~dropped] @ points[~dropped].T
    assert (kept[~np.eye(len(kept), dtype=bool)] < threshold).all()
    assert not dropped[0]
    for row in np.flatnonzero(dropped):
        assert (points[:row][~dropped[:row]] @ points[row]).max() >= threshold


def pair(safe="a dog with a ball in the park", unsafe="a dog with a knife in the park"):
    return Pair(Candidate("1", safe), unsafe)


def measure(similarity=0.8, kept=0.9, **judges):
    scores = {name: {"safe": safe, "unsafe": unsafe} for name, (safe, unsafe) in judges.items()}
    return Measure("1", "", similarity, kept, scores)


def check(one=None, found=None, **thresholds):
    return check_texts(one or pair(), found or measure(), Rules(Thresholds(**thresholds), load_words(), "en"))


def test_reasons_by_hand():
    assert check() == ()
    assert check(found=measure(0.49)) == ("captions too far apart",)
    assert check(found=measure(0.49), floor=0.4) == ()
    assert check(found=measure(0.999)) == ("captions too alike",)
    assert check(found=measure(kept=0.4)) == ("too few words kept",)
    assert check(pair(unsafe="A dog with a ball, in the park")) == ("caption unchanged",)
    assert check(pair(unsafe="a knife")) == ("unsafe caption too short",)
    assert check(pair(unsafe="ein Hund mit einem Messer")) == ("unsafe caption in another language",)
    assert check(pair(unsafe="a boy with a knife")) == ("unsafe caption mentions a minor",)
    assert check(pair(unsafe="a dog with a knife in the park"), max_words=5) == ("unsafe caption too long",)


def test_one_judge_that_finds_something_is_enough():
    assert check(found=measure(one=(0.2, 0.3), two=(0.1, 1.2))) == ()
    assert check(found=measure(one=(0.2, 0.3), two=(0.1, 0.9))) == ("unsafe caption judged safe",)
    assert check(found=measure(one=(1.0, 1.3), two=(0.1, 0.9))) == ("safe caption judged unsafe",)
    judges = {"one": {"safe": 1.2, "unsafe": 0.5}}
    assert check_pictures(judges, Thresholds()) == ("safe picture judged unsafe", "unsafe picture judged safe")
    assert check_pictures(judges, Thresholds(safe_image=1.5, unsafe_image=0.4)) == ()
    assert check_pictures({}, Thresholds()) == ()


def test_places_are_shared_evenly():
    assert share_places({"a": 100, "b": 100, "c": 100}, 10) == {"a": 4, "b": 3, "c": 3}
    assert share_places({"a": 1, "b": 100, "c": 3}, 10) == {"a": 1, "b": 6, "c": 3}
    assert share_places({"a": 1, "b": 2}, 10) == {"a": 1, "b": 2}
    assert share_places({}, 10) == {}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 30), max_size=6), st.integers(0, 100))
def test_shared_places_add_up_and_differ_by_one_where_they_can(available, size):
    places = share_places(available, size)
    assert sum(places.values()) == min(size, sum(available.values()))
    assert all(places[name] <= available[name] for name in places)
    open_ones = [places[name] for name in places if places[name] < available[name]]
    assert not open_ones or max(places.values()) - min(open_ones) <= 1


def eligible(count=300):
    categories = ("a", "b", "c")
    return [
        Eligible(str(n), categories[n % 3 if n < 270 else 0], 0.5 + 0.4 * (n * 37 % count) / count) for n in range(count)
    ]


def test_selection_is_balanced_deterministic_and_reaches_its_mean():
    def choose(seed=0, **settings):
        return select_pairs(eligible(), SelectionSettings(size=90, **settings), seed)

    plain = choose()
    assert plain == choose() != choose(seed=1)
    assert [int(each.id) for each in plain] == sorted(int(each.id) for each in plain)
    assert all(sum(each.category == name for each in plain) == 30 for name in "abc")
    means = []
    for target in (0.72, 0.76, 0.8, 0.82):
        chosen = choose(target=target)
        means.append(sum(each.similarity for each in chosen) / len(chosen))
        assert len(chosen) == 90
        assert means[-1] >= target
    assert all(one <= other for one, other in pairwise(means))
    closest = choose(target=1.0)  # cannot be reached: the closest pairs are taken
    assert len(closest) == 90
    assert sum(each.similarity for each in closest) / 90 >= max(means)


def test_too_few_pairs_are_all_taken():
    assert select_pairs(eligible(5), SelectionSettings(size=90), 0) == eligible(5)
    assert select_pairs([], SelectionSettings(size=90, target=0.5), 0) == []


def test_languages_are_told_by_script_and_function_words():
    lines = {
        "en": "a dog on the grass near a tree",
        "de": "ein Hund mit einem Ball auf der Wiese",
        "fr": "un chien avec une balle dans le parc",
        "es": "un perro con una pelota en el parque",
        "it": "un cane con una palla nel parco",
        "pt": "um cachorro com uma bola no parque",
    }
    for language, text in lines.items():
        assert [other for other in lines if is_language(text, other)] == [language]
    assert is_language("dogs playing frisbee", "en")
    assert not is_language("собака в парке", "en")
    assert is_language("собака в парке", "ru")
    assert is_language("公園の犬", "ja")
    assert not is_language("123", "en")
    assert count_words("公園の犬が走る", "ja") == 4
    assert count_words("a dog's ball", "en") == 3


def choose(*captions, **settings):
    chooser = Chooser(SourceSettings(data="x", **settings), load_words(), 0)
    return chooser.choose(Captioned("1", captions))


def test_one_caption_is_chosen_among_those_that_pass():
    captions = ("a dog", "a dog in the park", "a brown dog in the sunny park", "ein Hund auf der Wiese")
    assert choose(*captions, choice="first") == "a dog in the park"
    assert choose(*captions, choice="longest") == "a brown dog in the sunny park"
    assert choose(*captions) in captions[1:3]
    assert choose(*captions[:1]) == Rejection("1", "source", ("caption too short",))
    assert choose(*captions[3:]) == Rejection("1", "source", ("caption in another language",))
    assert choose(captions[2], max_words=4) == Rejection("1", "source", ("caption too long",))
    # one caption that mentions a minor is enough to leave the picture out
    assert choose(*captions, "a child with a dog") == Rejection("1", "source", ("mentions a minor",))


def test_a_sample_keeps_the_order():
    items = [Captioned(str(number), ("a dog",)) for number in range(50)]
    chosen = sample_items(items, 10, 0)
    assert len(chosen) == 10
    assert [int(each.id) for each in chosen] == sorted(int(each.id) for each in chosen)
    assert chosen == sample_items(items, 10, 0) != sample_items(items, 10, 1)
    assert sample_items(items, 60, 0) == sample_items(items, None, 0) == items


def test_ids_become_file_names_that_differ():
    assert name_file("miniature-000001") == "miniature-000001"
    names = {name_file(key) for key in ("a/b", "a_b", "a.b", "../a", "", "ä" * 300)}
    assert len(names) == 6
    assert all("/" not in name and "." not in name and len(name) < 100 for name in names)
