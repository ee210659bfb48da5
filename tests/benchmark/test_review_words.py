from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.benchmark.review_words import Part, mark_edits


def show(parts):
    return "".join(f"[{part.text}]" if part.edited else part.text for part in parts)


@pytest.mark.parametrize(
    ("left", "right", "marked"),
    [
        ("a dog on a beach", "a dog on a beach", ("a dog on a beach", "a dog on a beach")),
        ("a man with a magnet", "a man with a knife", ("a man with a [magnet]", "a man with a [knife]")),
        ("a man", "a man with a knife", ("a man", "a man [with a knife]")),
        ("red wine, bread", "two black beers, bread", ("[red wine], bread", "[two black beers], bread")),
        ("a dog runs.", "a dog.", ("a dog [runs].", "a dog.")),
        ("A dog", "a dog", ("[A] dog", "[a] dog")),
        ("it's his", "it’s his", ("[it's] his", "[it’s] his")),
        ("狗在海滩", "狗在山上", ("狗在[海滩]", "狗在[山上]")),
        ("", "a knife", ("", "[a knife]")),
    ],
)
def test_the_words_that_differ_are_marked(left, right, marked):
    assert tuple(map(show, mark_edits(left, right))) == marked


captions = st.text(alphabet="ab ,.\n狗é", max_size=20)


@given(captions, captions)
def test_no_character_is_lost_and_stretches_alternate(left, right):
    for caption, parts in zip((left, right), mark_edits(left, right), strict=True):
        assert "".join(part.text for part in parts) == caption
        flags = [part.edited for part in parts]
        assert all(one != other for one, other in pairwise(flags))
    kept = ["".join(part.text for part in parts if not part.edited).split() for parts in mark_edits(left, right)]
    assert "".join(kept[0]) == "".join(kept[1])


def test_nothing_is_marked_in_equal_captions():
    assert mark_edits("a dog", "a dog") == ([Part("a dog", False)], [Part("a dog", False)])
