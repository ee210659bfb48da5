import pytest
import torch

from safer_clip.attacks.targets import Targets

EYE = torch.eye(3)


def test_margins_by_hand():
    targets = Targets.among(EYE, [2, 0], range(3))
    queries = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]])
    # the first stands 0.8 - 0.6 before its rival, the second 0 - 1 behind
    assert targets.measure_margins(queries, torch.tensor([0, 1])).tolist() == pytest.approx([0.2, -1.0])


def test_owners_say_what_a_query_aims_at():
    targets = Targets.among(EYE, [2, 0], range(3))
    query = torch.tensor([[0.6, 0.0, 0.8]]).repeat(2, 1)
    assert targets.measure_margins(query, torch.tensor([1, 0])).tolist() == pytest.approx([-0.2, 0.2])


def test_a_twin_is_no_rival_but_a_tie_with_another_item_is_no_success():
    gallery = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    query = torch.tensor([[1.0, 0.0]])
    owner = torch.tensor([0])
    assert Targets.among(gallery, [0], ["a", "a", "b"]).measure_margins(query, owner).item() == 1.0
    assert Targets.among(gallery, [0], ["a", "c", "b"]).measure_margins(query, owner).item() == 0.0
