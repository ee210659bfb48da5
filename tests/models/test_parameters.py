from torch import nn

from safer_clip.models.parameters import count_parameters


def test_frozen_parameters_count_as_the_model_s_but_not_as_trained():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    model[0].requires_grad_(False)
    assert count_parameters(model) == 16 + 8
    assert count_parameters(model, trained=True) == 8
