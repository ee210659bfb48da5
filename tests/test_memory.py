import torch

from safer_clip.memory import measure_peak, return_freed_blocks

MEGABYTE = 1 << 20


def compute():
    first = torch.zeros(4 * MEGABYTE, dtype=torch.uint8)
    second = torch.zeros(2 * MEGABYTE, dtype=torch.uint8)
    del first
    third = torch.zeros(3 * MEGABYTE, dtype=torch.uint8)
    del second, third


def test_the_peak_is_what_was_held_at_the_worst_moment():
    # 4, then 4 + 2, then 2 + 3
    assert measure_peak(compute, torch.device("cpu")) == 6 * MEGABYTE


def test_what_allocates_nothing_has_no_peak():
    assert measure_peak(lambda: None, torch.device("cpu")) == 0


def test_freed_blocks_go_back_without_harm():
    return_freed_blocks()
    assert float(torch.ones(2 * MEGABYTE).sum()) == 2 * MEGABYTE
