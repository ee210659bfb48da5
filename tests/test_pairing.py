import tracemalloc
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.errors import ConfigError
from safer_clip.evaluation.retrieval import QuadrupletEmbeddings
from safer_clip.methods import PairingName
from safer_clip.objectives.base import SIDES
from safer_clip.pairing import (
    NEIGHBOURS,
    PAIRINGS,
    TEMPERATURE,
    Mixture,
    mix_rows,
    nearest_safe,
    nearest_several,
    pair_mixture,
    pair_nearest,
    pair_nearest_both,
    pair_nearest_image,
    pair_own,
)

AXES = np.array([[1, 0], [0, 1]], dtype=np.float32)


def cosine_table(unsafe, safe):
    unsafe, safe = np.asarray(unsafe, dtype=np.float64), np.asarray(safe, dtype=np.float64)
    return unsafe @ safe.T / np.outer(np.linalg.norm(unsafe, axis=1), np.linalg.norm(safe, axis=1))


def test_nearest_by_hand():
    indices, cosines = nearest_safe(np.array([[0.0, 2.0], [3.0, 3.0], [1.0, 0.0]]), np.array([[5.0, 0.0], [1.0, 2.0]]))
    # (0, 2) meets (1, 2) at 2/sqrt(5); (3, 3) meets it at 3/sqrt(10), and (5, 0) at 1/sqrt(2); (1, 0) is parallel to (5, 0)
    assert indices.tolist() == [1, 1, 0]
    assert cosines == pytest.approx([2 / 5**0.5, 3 / 10**0.5, 1.0])
    assert indices.dtype == np.int64
    assert cosines.dtype == np.float32


@given(
    st.integers(1, 25),
    st.integers(1, 25),
    st.integers(1, 8),
    st.integers(1, 30),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.integers(0, 10_000),
)
def test_nearest_is_what_brute_force_finds(n, m, d, chunk, dtype, seed):
    rng = np.random.default_rng(seed)
    unsafe = (rng.normal(size=(n, d)) * rng.uniform(0.1, 50, size=(n, 1))).astype(dtype)
    safe = (rng.normal(size=(m, d)) * rng.uniform(0.1, 50, size=(m, 1))).astype(dtype)
    indices, cosines = nearest_safe(unsafe, safe, chunk)
    table = cosine_table(unsafe, safe)
    # float32 may swap rows that differ by its rounding, so what is chosen must be as near as the nearest
    np.testing.assert_allclose(table[np.arange(n), indices], table.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(cosines, table.max(axis=1), atol=1e-6)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 25), st.integers(0, 10_000))
def test_ties_go_to_the_lowest_index_whatever_the_chunks(n, m, chunk, seed):
    rng = np.random.default_rng(seed)
    axes = np.eye(4, dtype=np.float32)  # cosines of axes are exactly 0 or 1, so that almost every row has a tie
    unsafe, safe = axes[rng.integers(0, 4, n)], axes[rng.integers(0, 4, m)]
    indices, _ = nearest_safe(unsafe, safe, chunk)
    assert indices.tolist() == (unsafe @ safe.T).argmax(axis=1).tolist()


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_tie_across_chunks_by_hand(chunk):
    safe = AXES[[1, 0, 1, 0, 0]]
    indices, _ = nearest_safe(AXES, safe, chunk)
    assert indices.tolist() == [1, 0]


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 8, 4096])
@pytest.mark.parametrize("d", [8, 64, 512])
def test_equal_captions_tie_at_real_sizes(chunk, d):
    # the same row again and again: its product must not depend on where in a block it stands
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, d)).astype(np.float32)
    queries = (row + rng.normal(size=(20, d))).astype(np.float32)
    indices, _ = nearest_safe(queries, np.repeat(row, 9, axis=0), chunk)
    assert indices.tolist() == [0] * 20


@pytest.mark.parametrize("chunk", [2, 4, 8])
def test_the_sign_of_a_zero_does_not_tell_captions_apart(chunk):
    rng = np.random.default_rng(0)
    row = rng.normal(size=64).astype(np.float32)
    row[:4] = 0
    safe = np.repeat(row[None], 9, axis=0)
    safe[:, :4] = np.where(np.arange(9)[:, None] >> np.arange(4) & 1, -0.0, 0.0)  # nine patterns of signs
    indices, _ = nearest_safe((row + rng.normal(size=(20, 64))).astype(np.float32), safe, chunk)
    assert indices.tolist() == [0] * 20


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_keep_near_neighbours_apart(dtype):
    # at cosines this close to 1 float16 arithmetic would tie: its step there is 2 ** -11
    safe = np.array([[1.0, 0.02], [1.0, 0.01]], dtype=dtype)
    indices, cosines = nearest_safe(np.array([[1.0, 0.0]], dtype=dtype), safe)
    assert indices.tolist() == [1]
    assert cosines.dtype == np.float32
    assert cosines[0] == pytest.approx(1 / (1 + 0.01**2) ** 0.5, abs=1e-6)


@given(st.integers(0, 10_000))
def test_lengths_of_rows_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    unsafe, safe = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    # powers of two scale exactly
    longer = nearest_safe(unsafe * 2.0 ** rng.integers(-9, 9, (5, 1)), safe * 2.0 ** rng.integers(-9, 9, (7, 1)))
    assert longer[0].tolist() == nearest_safe(unsafe, safe)[0].tolist()
    np.testing.assert_allclose(longer[1], nearest_safe(unsafe, safe)[1], rtol=1e-6)


def test_memory_stays_within_blocks():
    rng = np.random.default_rng(0)
    unsafe, safe = rng.normal(size=(2, 6000, 4)).astype(np.float32)
    tracemalloc.start()
    try:
        nearest_safe(unsafe, safe, chunk=256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6  # the whole table is 144 MB, one side whole 6 MB, a block 0.26 MB


def test_inputs_are_not_changed():
    unsafe, safe = np.full((2, 2), 3, dtype=np.float32), AXES * 5
    nearest_safe(unsafe, safe)
    assert (unsafe == 3).all()
    assert (safe == AXES * 5).all()


def test_no_unsafe_rows():
    indices, cosines = nearest_safe(np.empty((0, 2), dtype=np.float32), AXES)
    assert indices.shape == cosines.shape == (0,)
    assert (indices.dtype, cosines.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize(
    ("unsafe", "safe"),
    [(np.ones(2), AXES), (AXES, np.ones(2)), (AXES, np.ones((2, 3))), (np.ones((1, 2, 2)), AXES)],
)
def test_shapes_that_do_not_fit(unsafe, safe):
    with pytest.raises(ConfigError, match="equal d") as caught:
        nearest_safe(unsafe, safe)
    assert str(unsafe.shape) in str(caught.value)
    assert str(safe.shape) in str(caught.value)


def test_no_safe_rows():
    with pytest.raises(ConfigError, match="no safe row"):
        nearest_safe(AXES, np.empty((0, 2)))


@pytest.mark.parametrize("chunk", [0, -1])
def test_chunk_too_small(chunk):
    with pytest.raises(ConfigError, match=f"chunk must be at least 1, got {chunk}"):
        nearest_safe(AXES, AXES, chunk)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["unsafe", "safe"])
@pytest.mark.parametrize("pair", [nearest_safe, pair_nearest, pair_own])
def test_rows_without_a_direction_are_named(pair, side, value):
    good, bad = np.ones((8, 2)), np.ones((8, 2))
    bad[3] = bad[6] = value
    with pytest.raises(ConfigError, match=rf"^2 {side} embedding.* row 3, 6$"):
        pair(bad, good) if side == "unsafe" else pair(good, bad)


def test_of_many_bad_rows_the_first_five_are_named():
    bad = np.ones((9, 2))
    bad[1:8] = 0
    with pytest.raises(ConfigError, match=r"^7 safe embedding.* the first at row 1, 2, 3, 4, 5$"):
        nearest_safe(AXES, bad)


def test_a_single_nan_spoils_its_row():
    bad = np.ones((3, 2))
    bad[2, 1] = np.nan
    with pytest.raises(ConfigError, match=r"1 safe .* row 2$"):
        nearest_safe(AXES, bad)


def test_pair_nearest_looks_at_the_whole_set():
    pairing = pair_nearest(AXES, AXES[::-1] * 2)
    assert pairing.targets.tolist() == [1, 0]
    assert pairing.cosines.tolist() == [1.0, 1.0]


def test_pair_own_keeps_rows_together():
    pairing = pair_own(np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[0.0, 1.0], [0.0, 4.0], [-1.0, -1.0]]))
    assert pairing.targets.tolist() == [0, 1, 2]
    assert pairing.cosines == pytest.approx([0.0, 1.0, -1.0])
    assert (pairing.targets.dtype, pairing.cosines.dtype) == (np.int64, np.float32)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 10_000))
def test_nearest_pairs_are_never_further_than_own(n, d, seed):
    rng = np.random.default_rng(seed)
    unsafe, safe = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    own = pair_own(unsafe, safe)
    np.testing.assert_allclose(own.cosines, np.diag(cosine_table(unsafe, safe)), atol=1e-6)
    assert (pair_nearest(unsafe, safe).cosines >= own.cosines - 1e-6).all()


def test_pair_own_needs_equally_many_rows():
    with pytest.raises(ConfigError, match=r"\(2, 2\) unsafe and \(3, 2\) safe"):
        pair_own(AXES, np.ones((3, 2)))


def test_pair_own_needs_rows_of_equal_width():
    with pytest.raises(ConfigError, match=r"\(2, 2\) unsafe and \(2, 3\) safe"):
        pair_own(AXES, np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2)])
def test_pair_own_needs_rows(shape):
    with pytest.raises(ConfigError, match="equally many rows"):
        pair_own(np.ones(shape), np.ones(shape))


def test_pair_own_of_nothing():
    pairing = pair_own(np.empty((0, 2)), np.empty((0, 2)))
    assert pairing.targets.shape == pairing.cosines.shape == (0,)


def draw_embeddings(seed, n=12, d=3):
    return QuadrupletEmbeddings(*np.random.default_rng(seed).normal(size=(4, n, d)).astype(np.float32))


def test_every_name_has_its_pairing():
    assert tuple(PAIRINGS) == get_args(PairingName)
    embedded = draw_embeddings(0)
    for name, pair in PAIRINGS.items():
        found = pair(embedded)
        assert (found.targets.dtype, found.cosines.dtype) == (np.int64, np.float32)
        assert (found.mixture is not None) == (name == "mixture")
        rows = cosine_table(embedded.unsafe_text, embedded.safe_text)[np.arange(12), found.targets]
        np.testing.assert_allclose(found.cosines, rows, atol=1e-6)  # of the captions, whatever was compared


def test_several_by_hand():
    # to (1, 0) the cosines are 0.8, 1, 0.6, -1; the third row is parallel to the first and is not found again
    safe = np.array([[4.0, 3.0], [2.0, 0.0], [8.0, 6.0], [3.0, 4.0], [-1.0, 0.0]])
    indices, cosines = nearest_several(np.array([[1.0, 0.0]]), safe, 3)
    assert indices.tolist() == [[1, 0, 3]]
    assert cosines == pytest.approx(np.array([[1.0, 0.8, 0.6]]))
    assert (indices.dtype, cosines.dtype) == (np.int64, np.float32)
    assert nearest_several(AXES, safe, 9)[0].shape == (2, 4)  # as many as differ


@given(st.integers(1, 15), st.integers(1, 25), st.integers(1, 12), st.integers(1, 30), st.integers(0, 10_000))
def test_several_are_what_a_sorted_table_has(n, m, count, chunk, seed):
    rng = np.random.default_rng(seed)
    axes = np.eye(8, dtype=np.float32)  # different rows whose cosines are exactly 0 or 1, so that almost all tie
    unsafe, safe = axes[rng.integers(0, 8, n)], axes[rng.permutation(8)[:m]]
    indices, cosines = nearest_several(unsafe, safe, count, chunk)
    table = unsafe @ safe.T
    wanted = np.argsort(-table, axis=1, kind="stable")[:, :count]
    assert indices.tolist() == wanted.tolist()
    assert cosines.tolist() == np.take_along_axis(table, wanted, axis=1).tolist()


@given(st.integers(1, 15), st.integers(1, 25), st.integers(1, 12), st.integers(1, 30), st.integers(0, 10_000))
def test_several_are_as_near_as_brute_force_finds(n, m, count, chunk, seed):
    rng = np.random.default_rng(seed)
    unsafe, safe = rng.normal(size=(n, 5)), rng.normal(size=(m, 5))
    indices, cosines = nearest_several(unsafe, safe, count, chunk)
    table = cosine_table(unsafe, safe)
    np.testing.assert_allclose(cosines, -np.sort(-table, axis=1)[:, :count], atol=1e-6)
    np.testing.assert_allclose(cosines, np.take_along_axis(table, indices, axis=1), atol=1e-6)
    assert all(len(set(row)) == len(row) for row in indices.tolist())
    nearest = nearest_safe(unsafe, safe, chunk)
    assert (indices[:, 0].tolist(), cosines[:, 0].tolist()) == (nearest[0].tolist(), nearest[1].tolist())


def place(**sides):
    return QuadrupletEmbeddings(**{side: np.array(rows, dtype=np.float32) for side, rows in sides.items()})


# the first unsafe caption is nearest to safe row 0, its image to row 1; in the sum row 2 wins: .6 + .8 against 1 + 0, 0 + 1
PLACED = place(
    safe_text=[(1, 0), (0, 1), (0.6, 0.8)],
    unsafe_text=[(2, 0), (0, 3), (0, 3)],
    safe_image=[(0, 1), (1, 0), (4, 3)],
    unsafe_image=[(5, 0), (5, 0), (0, 1)],
)


def test_nearest_images_by_hand():
    pairing = pair_nearest_image(PLACED)
    assert pairing.targets.tolist() == [1, 1, 0]
    assert pairing.cosines.tolist() == [0, 1, 0]  # of the captions


def test_nearest_in_both_by_hand():
    pairing = pair_nearest_both(PLACED)
    # the third: 0 + 1, 1 + 0 and .8 + .6
    assert pairing.targets.tolist() == [2, 1, 2]
    assert pairing.cosines == pytest.approx([0.6, 1.0, 0.8])


@given(st.integers(1, 20), st.integers(0, 10_000))
def test_nearest_in_both_has_the_largest_sum(n, seed):
    embedded = draw_embeddings(seed, n)
    total = cosine_table(embedded.unsafe_text, embedded.safe_text)
    total = total + cosine_table(embedded.unsafe_image, embedded.safe_image)
    targets = pair_nearest_both(embedded).targets
    np.testing.assert_allclose(total[np.arange(n), targets], total.max(axis=1), atol=1e-6)


def test_equal_images_and_equal_quadruplets_go_to_the_lowest_row():
    twice = QuadrupletEmbeddings(*(np.repeat(getattr(PLACED, side), 2, axis=0) for side in SIDES))
    assert pair_nearest_image(twice).targets.tolist() == [2, 2, 2, 2, 0, 0]
    assert pair_nearest_both(twice).targets.tolist() == [4, 4, 2, 2, 4, 4]


@pytest.mark.parametrize("name", ["nearest_image", "nearest_both"])
@pytest.mark.parametrize("side", ["safe_image", "unsafe_image"])
def test_pairings_by_pictures_need_pictures(name, side):
    with pytest.raises(ConfigError, match=f"pairing '{name}' compares pictures, which the data or the model lack"):
        PAIRINGS[name](replace(PLACED, **{side: np.empty((0, 2), np.float32)}))


@pytest.mark.parametrize(
    ("side", "told"), [("unsafe_text", "1 unsafe text embedding"), ("safe_image", "1 safe image embedding")]
)
def test_a_pairing_in_both_says_which_embeddings_have_no_direction(side, told):
    bad = getattr(PLACED, side).copy()
    bad[1] = 0
    with pytest.raises(ConfigError, match=rf"{told}.* row 1$"):
        pair_nearest_both(replace(PLACED, **{side: bad}))


def test_a_mixture_by_hand():
    pairing = pair_mixture(np.array([[3.0, 0.0]]), np.array([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]]))
    assert pairing.targets.tolist() == [1]
    assert pairing.cosines.tolist() == [1]
    assert pairing.mixture.rows.tolist() == [[1, 0, 2]]
    raw = np.exp(np.array([1.0, 0.6, 0.0]) / TEMPERATURE)
    assert pairing.mixture.weights == pytest.approx((raw / raw.sum())[None], rel=1e-4)
    assert (pairing.mixture.rows.dtype, pairing.mixture.weights.dtype) == (np.int64, np.float32)


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 10_000))
def test_a_mixture_leans_to_the_nearest(n, m, seed):
    rng = np.random.default_rng(seed)
    unsafe, safe = rng.normal(size=(n, 4)), rng.normal(size=(m, 4))
    pairing, nearest = pair_mixture(unsafe, safe), pair_nearest(unsafe, safe)
    rows, weights = pairing.mixture.rows, pairing.mixture.weights
    assert rows.shape == weights.shape == (n, min(m, NEIGHBOURS))
    assert weights.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-6)
    assert (np.diff(weights, axis=1) <= 0).all()
    assert pairing.targets.tolist() == rows[:, 0].tolist() == nearest.targets.tolist()
    assert pairing.cosines.tolist() == nearest.cosines.tolist()


def test_mixed_rows_by_hand():
    store = np.array([[1, 0], [0, 1], [0, -1]], dtype=np.float32)
    weights = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
    mixed = mix_rows(store, Mixture(np.array([[0, 1], [1, 2], [0, 2]]), weights))
    # (1, 1) / 2, then (0, -1) / 2, brought back to length 1; and one row alone
    assert mixed == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0.0, -1.0], [1.0, 0.0]]))
    assert mixed.dtype == np.float32


def test_rows_that_cancel_out_have_no_middle():
    mixture = Mixture(np.array([[0, 1]]), np.full((1, 2), 0.5, np.float32))
    with pytest.raises(ConfigError, match="1 mixed embedding"):
        mix_rows(np.array([[1, 0], [-1, 0]], np.float32), mixture)


def test_a_mixture_stays_within_blocks():
    rng = np.random.default_rng(0)
    unsafe, safe = rng.normal(size=(2, 6000, 4)).astype(np.float32)
    tracemalloc.start()
    try:
        nearest_several(unsafe, safe, 10, chunk=256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6  # the whole table is 144 MB; what is found 0.7 MB, twice while rows are named
