"""The orthogonalising optimizer."""

import pytest
import torch

from muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(6, 6), (4, 12), (12, 4)])
def test_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 30
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_an_orthogonal_direction_keeps_its_singular_vectors():
    left, _, right = torch.linalg.svd(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)))
    matrix = left @ torch.diag(torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])) @ right
    core = left.T @ orthogonalize(matrix) @ right.T
    torch.testing.assert_close(core, torch.diag(core.diag()), atol=1e-4, rtol=0)


def test_a_step_goes_against_the_gradient_by_the_learning_rate():
    weight = torch.nn.Parameter(torch.zeros(4, 4))
    weight.grad = torch.eye(4) * 7
    Muon([weight], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(weight, torch.diag(weight.diag()))
    # 0.2 * sqrt(4) * lr times a singular value between 0.7 and 1.2
    assert ((weight.diag() < -0.02) & (weight.diag() > -0.05)).all()


def test_weights_decay_apart_from_the_gradient():
    weight = torch.nn.Parameter(torch.full((2, 2), 8.0))
    weight.grad = torch.zeros(2, 2)
    Muon([weight], lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(weight.data, torch.full((2, 2), 7.6))
