import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.errors import ConfigError
from safer_clip.pairing import nearest_safe, pair_nearest, pair_own

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
