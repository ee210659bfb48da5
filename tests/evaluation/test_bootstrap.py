import numpy as np
import pytest

from safer_clip.evaluation.bootstrap import bootstrap_means, interval


def test_constant_values_have_no_spread():
    means = bootstrap_means(np.full((50, 2), 7.0), seed=0)
    assert means.shape == (1000, 2)
    assert interval(means[:, 0]) == (pytest.approx(7.0), pytest.approx(7.0))


def test_the_interval_of_a_share_is_the_binomial_one():
    # 300 right of 1,000: the standard error is sqrt(0.3 * 0.7 / 1000) = 1.449 points, so 1.96 of it are 2.84
    values = np.repeat([100.0, 0.0], [300, 700])[:, None]
    low, high = interval(bootstrap_means(values, seed=1)[:, 0])
    assert low == pytest.approx(30 - 2.84, abs=0.5)
    assert high == pytest.approx(30 + 2.84, abs=0.5)


def test_columns_are_resampled_together():
    values = np.random.default_rng(0).random((40, 1))
    means = bootstrap_means(np.hstack([values, 2 * values]), seed=3)
    assert means[:, 1] == pytest.approx(2 * means[:, 0])


def test_the_seed_decides():
    values = np.arange(20.0)[:, None]
    assert np.array_equal(bootstrap_means(values, 5), bootstrap_means(values, 5))
    assert not np.array_equal(bootstrap_means(values, 5), bootstrap_means(values, 6))
