from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.curriculum import PAPER_SHARES, TrainingOrder, order_training, select_rows
from safer_clip.errors import ConfigError


def split_epochs(order):
    bounds = [0, *(end * order.batch_size for end in order.epoch_ends)]
    return [order.rows[first:last] for first, last in pairwise(bounds)]


DIFFICULTY = np.array([0.1, 0.9, 0.5, 0.8, 0.2, 0.7])


def test_worked_example():
    # easiest first the rows are 1, 3, 5, 2, 4, 0: two of them, then four, then all
    order = order_training(DIFFICULTY, epochs=4, batch_size=2, seed=0)
    first, second, third, fourth = split_epochs(order)
    assert sorted(first.tolist()) == [1, 3]
    assert sorted(second.tolist()) == [1, 2, 3, 5]
    assert sorted(third.tolist()) == sorted(fourth.tolist()) == [0, 1, 2, 3, 4, 5]
    assert order.epoch_ends == (1, 3, 6, 9)
    assert order.steps == 9
    assert order.rows.dtype == np.int64


def test_select_rows_gives_the_easiest_first():
    assert select_rows(DIFFICULTY, 0, PAPER_SHARES).tolist() == [1, 3]
    assert select_rows(DIFFICULTY, 1, PAPER_SHARES).tolist() == [1, 3, 5, 2]
    assert select_rows(DIFFICULTY, 2, PAPER_SHARES).tolist() == [1, 3, 5, 2, 4, 0]


def test_the_hardest_first_by_hand():
    # hardest first the rows are 0, 4, 2, 5, 3, 1
    assert select_rows(DIFFICULTY, 0, PAPER_SHARES, "hard").tolist() == [0, 4]
    assert select_rows(DIFFICULTY, 1, PAPER_SHARES, "hard").tolist() == [0, 4, 2, 5]
    first, second, third = split_epochs(order_training(DIFFICULTY, 3, 2, 0, first="hard"))
    assert sorted(first.tolist()) == [0, 4]
    assert sorted(second.tolist()) == [0, 2, 4, 5]
    assert sorted(third.tolist()) == [0, 1, 2, 3, 4, 5]


@given(st.integers(1, 60), st.floats(0.05, 1.0), st.integers(0, 1000))
def test_hard_is_easy_turned_round(count, share, seed):
    difficulty = np.random.default_rng(seed).choice([0.125, 0.25, 0.5, 0.75], count)  # many ties
    easy, hard = select_rows(-difficulty, 0, [share]), select_rows(difficulty, 0, [share], "hard")
    assert easy.tolist() == hard.tolist()
    left = np.setdiff1d(np.arange(count), hard)
    assert not len(left) or difficulty[hard].max() <= difficulty[left].min()


def test_ties_keep_the_order_of_the_data():
    assert select_rows(np.array([0.5, 0.9, 0.5, 0.9, 0.5]), 0, []).tolist() == [1, 3, 0, 2, 4]
    assert select_rows(np.array([0.5, 0.9, 0.5, 0.9, 0.5]), 0, [], "hard").tolist() == [0, 2, 4, 1, 3]


def test_a_tiny_share_still_takes_one_row():
    assert select_rows(DIFFICULTY, 0, [0.001]).tolist() == [1]


cases = {
    "count": st.integers(4, 60),
    "epochs": st.integers(1, 5),
    "batch_size": st.integers(1, 4),
    "seed": st.integers(0, 1000),
    "shares": st.lists(st.floats(0.05, 1.0), max_size=4).map(sorted),
}


@given(**cases)
def test_epochs_nest_and_use_every_row_at_most_once(count, epochs, batch_size, seed, shares):
    difficulty = np.random.default_rng(seed).choice([0.1, 0.3, 0.5, 0.7], count)  # many ties
    used = [set(select_rows(difficulty, epoch, shares).tolist()) for epoch in range(epochs)]
    assert all(earlier <= later for earlier, later in pairwise(used))
    for kept in used:
        left = set(range(count)) - kept
        assert not left or min(difficulty[list(kept)]) >= max(difficulty[list(left)])
    if len(used[0]) < batch_size:
        with pytest.raises(ConfigError, match="epoch 1 has"):
            order_training(difficulty, epochs, batch_size, seed, shares)
        return
    order = order_training(difficulty, epochs, batch_size, seed, shares)
    parts = split_epochs(order)
    assert len(parts) == epochs
    assert sum(map(len, parts)) == len(order.rows) == order.steps * batch_size
    for part, kept in zip(parts, used, strict=True):
        assert len(set(part.tolist())) == len(part)
        assert set(part.tolist()) <= kept
        assert len(kept) - batch_size < len(part) <= len(kept)  # only an incomplete batch is left out
        assert len(part) % batch_size == 0


@given(**cases)
def test_same_seed_same_order(count, epochs, batch_size, seed, shares):
    difficulty = np.linspace(0, 1, count)
    shares = [max(share, batch_size / count) for share in shares]
    first, second = (order_training(difficulty, epochs, batch_size, seed, shares) for _ in range(2))
    assert first.rows.tolist() == second.rows.tolist()
    assert first.epoch_ends == second.epoch_ends


def test_seeds_and_epochs_shuffle_differently():
    orders = [order_training(np.zeros(50), 2, 50, seed, []).rows for seed in (0, 1)]
    epochs = [tuple(half) for order in orders for half in (order[:50], order[50:])]
    assert len({*epochs, tuple(range(50))}) == 5


def test_what_one_epoch_uses_does_not_change_the_next():
    difficulty = np.linspace(0, 1, 40)
    few, all_rows = (split_epochs(order_training(difficulty, 2, 5, 3, shares)) for shares in ([0.5], []))
    assert len(few[0]) < len(all_rows[0])
    assert few[1].tolist() == all_rows[1].tolist()


def test_a_longer_run_begins_like_a_shorter_one():
    short, long = (order_training(DIFFICULTY, epochs, 2, 7) for epochs in (2, 4))
    assert long.rows[: len(short.rows)].tolist() == short.rows.tolist()
    assert long.epoch_ends[:2] == short.epoch_ends


def test_without_a_curriculum_every_epoch_uses_all():
    order = order_training(DIFFICULTY, 3, 3, 0, shares=[])
    assert order.epoch_ends == (2, 4, 6)
    assert all(sorted(part.tolist()) == list(range(6)) for part in split_epochs(order))


@pytest.mark.parametrize(
    ("epochs", "batch_size", "seed"), [(0, 1, 0), (-1, 1, 0), (1, 0, 0), (1, -2, 0), (1, 1, -1), (0, 0, -1)]
)
def test_numbers_out_of_range(epochs, batch_size, seed):
    with pytest.raises(ConfigError, match=f"seed at least 0; got {epochs}, {batch_size}, {seed}$"):
        order_training(DIFFICULTY, epochs, batch_size, seed)


def test_the_smallest_numbers_in_range():
    order = order_training(DIFFICULTY, 1, 1, 0, [1.0])
    assert order.epoch_ends == (6,)
    assert sorted(order.rows.tolist()) == list(range(6))


def test_an_order_of_nothing_has_no_steps():
    assert TrainingOrder(np.empty(0, dtype=np.int64), (), 4).steps == 0


@pytest.mark.parametrize("shares", [[0.0], [-0.1, 0.5], [0.5, 1.1], [0.7, 0.3], [float("nan")]])
def test_shares_must_grow_within_the_unit_interval(shares):
    with pytest.raises(ConfigError, match="shares must grow within"):
        order_training(DIFFICULTY, 3, 1, 0, shares)


@pytest.mark.parametrize(
    ("batch_size", "shares", "message"),
    [
        (3, PAPER_SHARES, "epoch 1 has 2 rows, fewer than a batch of 3"),
        (3, [0.5, 0.5], None),
        (7, [], "epoch 1 has 6 rows, fewer than a batch of 7"),
    ],
)
def test_an_epoch_needs_a_whole_batch(batch_size, shares, message):
    if message is None:
        assert order_training(DIFFICULTY, 2, batch_size, 0, shares).epoch_ends == (1, 2)
        return
    with pytest.raises(ConfigError, match=message) as caught:
        order_training(DIFFICULTY, 2, batch_size, 0, shares)
    assert "lower batch_size" in str(caught.value)


def test_no_data_is_an_error():
    with pytest.raises(ConfigError, match="epoch 1 has 0 rows"):
        order_training(np.empty(0), 1, 1, 0)
