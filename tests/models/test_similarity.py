import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safer_clip.errors import ConfigError
from safer_clip.models.similarity import COSINE, SIMILARITY_FILE, Lorentz, read_similarity, write_similarity

FLAT = Lorentz(curvature=1.0, text_scale=1.0, image_scale=2.0)


def place(*velocities, similarity=FLAT, modality="text"):
    return similarity.embed(torch.tensor(velocities, dtype=torch.float64), modality).numpy()


def test_a_point_lies_as_far_from_the_root_as_its_velocity_is_long():
    rows = place([3.0, 4.0], [0.3, 0.4])
    assert FLAT.distance_from_root(rows) == pytest.approx([5.0, 0.5])
    assert rows[1] == pytest.approx([0.6 * math.sinh(0.5), 0.8 * math.sinh(0.5), math.cosh(0.5)])
    curved = replace(FLAT, curvature=4.0)
    assert curved.distance_from_root(place([0.3, 0.4], similarity=curved)) == pytest.approx([0.5])
    assert FLAT.distance_from_root(place([0.3, 0.4], modality="image")) == pytest.approx([1.0])  # scaled by 2


def test_on_one_line_distances_are_differences_and_rank_as_such():
    rows = place([0.5, 0.0], [1.0, 0.0], [2.0, 0.0], [-1.0, 0.0])
    inner = FLAT.as_queries(rows, "image") @ FLAT.as_gallery(rows).T
    distances = np.arccosh(np.maximum(-inner, 1))
    assert distances[0] == pytest.approx([0.0, 0.5, 1.5, 1.5], abs=1e-6)
    assert inner[2].argsort()[::-1].tolist() == [2, 1, 0, 3]


@given(st.floats(0.1, 10), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_every_point_is_on_the_hyperboloid(curvature, numbers):
    similarity = replace(FLAT, curvature=curvature)
    rows = place(numbers[:3], numbers[3:], similarity=similarity)
    inner = (similarity.as_gallery(rows) * rows).sum(axis=1)
    assert inner == pytest.approx([-1 / curvature] * 2, rel=1e-6)
    centre = similarity.centre(rows.sum(axis=0, keepdims=True))
    assert (similarity.as_gallery(centre) * centre).sum() == pytest.approx(-1 / curvature, rel=1e-6)


def test_the_centre_of_two_points_lies_in_the_middle():
    rows = place([1.0, 0.0], [3.0, 0.0])
    assert FLAT.distance_from_root(FLAT.centre(rows.sum(axis=0, keepdims=True))) == pytest.approx([2.0])


def test_safe_traversal_draws_far_queries_back_and_leaves_the_others():
    similarity = replace(FLAT, image_bound=0.8)  # the limit is 0.8 + tanh(0) + 1
    rows = place([3.0, 4.0], [0.3, 0.4], similarity=similarity)
    moved = similarity.as_queries(rows, "image")
    assert similarity.distance_from_root(moved) == pytest.approx([1.8, 0.5])
    assert similarity.as_directions(moved) == pytest.approx(similarity.as_directions(rows))
    assert np.array_equal(similarity.as_queries(rows, "text"), rows)


def test_a_cosine_leaves_normalised_rows_alone():
    rows = COSINE.embed(torch.tensor([[3.0, 4.0]]), "text").numpy()
    assert rows == pytest.approx(np.array([[0.6, 0.8]]))
    assert COSINE.as_queries(rows, "text") is rows is COSINE.as_gallery(rows)


def test_similarities_are_kept_beside_the_weights(tmp_path):
    assert read_similarity(tmp_path) == COSINE
    write_similarity(COSINE, tmp_path)
    assert not (tmp_path / SIMILARITY_FILE).exists()
    write_similarity(replace(FLAT, image_bound=1.5), tmp_path)
    assert read_similarity(tmp_path) == replace(FLAT, image_bound=1.5)
    (tmp_path / SIMILARITY_FILE).write_text('{"curvature": -1, "text_scale": 1}')
    with pytest.raises(ConfigError, match=r"(?s)curvature.*image_scale"):
        read_similarity(tmp_path)
    (tmp_path / SIMILARITY_FILE).write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        read_similarity(tmp_path)
