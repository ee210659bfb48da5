import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.evaluation.bootstrap import bootstrap_means, interval
from safer_clip.evaluation.paired import compare_means, compare_sets


def test_what_both_share_cancels():
    """Half the queries are hard for both; ours answers one in twenty more, so alone the means would overlap widely."""
    theirs = np.repeat([0.0, 100.0], 200)
    ours = theirs.copy()
    ours[:20] = 100.0
    found = compare_means(ours, theirs)
    assert found.value == 5.0
    assert found.clear
    assert found.interval[0] > 2.5
    assert found.interval[1] < 8.0
    alone = interval(bootstrap_means(ours[:, None], 0)[:, 0])
    assert alone[0] < 50.0 + 5.0 - 4.0


def test_the_same_model_differs_by_nothing_for_sure():
    hits = np.array([0.0, 100.0, 100.0])
    found = compare_means(hits, hits)
    assert (found.value, found.interval, found.clear) == (0.0, (0.0, 0.0), False)


def test_each_set_counts_alike():
    ours = {"small": np.array([100.0]), "large": np.zeros(9)}
    theirs = {"small": np.array([0.0]), "large": np.zeros(9)}
    assert compare_sets(ours, theirs).value == 50.0
    assert compare_sets(ours, theirs).interval == (50.0, 50.0)  # a set of one query is the same in every resample


@given(st.lists(st.tuples(st.sampled_from([0.0, 100.0]), st.sampled_from([0.0, 100.0])), min_size=1, max_size=30))
def test_swapping_the_models_swaps_the_sign(pairs):
    ours, theirs = np.array(pairs).T
    one, other = compare_means(ours, theirs), compare_means(theirs, ours)
    assert one.value == pytest.approx(-other.value)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.interval[0] - 1e-9 <= one.value <= one.interval[1] + 1e-9 or len(pairs) > 1


def test_other_queries_are_refused():
    with pytest.raises(ValueError, match="same queries"):
        compare_means(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="same queries"):
        compare_sets({"a": np.zeros(3)}, {"b": np.zeros(3)})
