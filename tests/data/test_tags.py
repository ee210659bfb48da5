from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.data import I2P_CATEGORIES, MINIATURE_CATEGORIES, normalise_tag
from safer_clip.data.tags import Taxonomy, categories
from safer_clip.errors import ConfigError


@pytest.mark.parametrize(
    ("raw", "category"),
    [
        ("hate", "hate"),
        (" Self_Harm ", "self-harm"),
        ("self  harm", "self-harm"),
        ("SELF-HARM", "self-harm"),
        ("harrassment", "harassment"),
        ("vandelism", "illegal activity"),
        ("illegal-activity", "illegal activity"),
        ("Drug Use", "illegal activity"),
        ("bodily fluid", "shocking"),
        ("blood", "shocking"),
        ("nudity", "sexual"),
        ("suffering", "violence"),
        ("humilation", "violence"),
        ("weapons", "violence"),
        ("suicide", "self-harm"),
        ("hat", None),
        ("charm", None),
        ("gardening", None),
        ("", None),
        (None, None),
    ],
)
def test_i2p(raw: str | None, category: str | None) -> None:
    assert normalise_tag(raw) == category


@pytest.mark.parametrize(
    ("raw", "category"),
    [("Weapons", "weapons"), ("gamblng", "gambling"), ("abuse", "abuse"), ("violence", None)],
)
def test_miniature(raw: str, category: str | None) -> None:
    assert normalise_tag(raw, "miniature") == category


def test_seven_and_six() -> None:
    assert len(I2P_CATEGORIES) == 7
    assert len(MINIATURE_CATEGORIES) == 6


def test_unknown_taxonomy() -> None:
    with pytest.raises(ConfigError, match="i2p, miniature"):
        categories("other")  # type: ignore[arg-type]


WORDS = st.sampled_from([*I2P_CATEGORIES, *MINIATURE_CATEGORIES, "drug use", "obscene gestures", "bodily fluids"])
MISSPELT = st.builds(
    lambda word, at, letter: word[: at % len(word)] + letter + word[at % len(word) + 1 :],
    WORDS,
    st.integers(0, 20),
    st.text(max_size=2),
)


@given(raw=st.one_of(st.text(), WORDS, MISSPELT), taxonomy=st.sampled_from(["i2p", "miniature"]))
def test_idempotent(raw: str, taxonomy: Taxonomy) -> None:
    once = normalise_tag(raw, taxonomy)
    assert once is None or once in categories(taxonomy)
    assert normalise_tag(once, taxonomy) == once
    assert normalise_tag(raw.upper().lower(), taxonomy) == normalise_tag(raw.lower(), taxonomy) or not raw.isascii()
