import numpy as np
import pytest
import torch
import torch.nn.functional as F

from safer_clip.attacks.captions import estimate_gains
from safer_clip.attacks.gradients import differentiate_pixels, differentiate_texts, find_token_layer
from safer_clip.attacks.targets import Targets
from safer_clip.attacks.vocabulary import Vocabulary

STEP = 1e-6


def aim(width, n):
    gallery = F.normalize(torch.randn(5, width, dtype=torch.double, generator=torch.Generator().manual_seed(1)), dim=-1)
    targets = Targets.among(gallery, list(range(n)), range(5))
    return targets, lambda queries: targets.measure_margins(queries, torch.arange(n))


def test_the_gradient_by_pixels_is_that_of_finite_differences(exact):
    _, score = aim(8, 2)
    pixels = torch.randn(2, 3, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    scores, gradients = differentiate_pixels(exact, pixels, score)
    for place in ((0, 0, 3, 5), (1, 2, 7, 0), (1, 1, 4, 4)):
        moved = pixels.clone()
        moved[place] += STEP
        difference = (differentiate_pixels(exact, moved, score)[0] - scores)[place[0]] / STEP
        assert gradients[place].item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-8)
    assert gradients.abs().max() > 1e-4


def test_gains_are_the_derivative_along_the_way_from_one_token_to_another(exact):
    targets, score = aim(8, 2)
    vocabulary = Vocabulary.of(exact)
    contents = vocabulary.read(["a dog in the snow", "a cat"])
    gains = estimate_gains(exact, vocabulary, contents, targets, [0, 1])
    inputs = vocabulary.frame(contents)
    tokens, _ = differentiate_texts(exact, inputs, score)
    table = find_token_layer(exact).weight.detach()
    before = _score_at(exact, inputs, tokens, score)
    for row, place, word in ((0, 1, 7), (0, 4, 300), (1, 0, 52)):
        moved = tokens.clone()
        here = moved[row, place + len(vocabulary.before)]
        here += STEP * (table[vocabulary.words[word]] - here)
        difference = (_score_at(exact, inputs, moved, score) - before)[row] / STEP
        assert gains[row, place, word].item() == pytest.approx(difference.item(), rel=1e-3, abs=1e-7)
    own = int(np.searchsorted(vocabulary.words.numpy(), contents[0][1]))
    assert gains[0, 1, own] == -torch.inf


def _score_at(encoder, inputs, tokens, score):
    hook = find_token_layer(encoder).register_forward_hook(lambda *_: tokens)
    try:
        with torch.no_grad():
            return score(F.normalize(encoder.model.get_text_features(**inputs).pooler_output, dim=-1))
    finally:
        hook.remove()


def test_nothing_is_left_behind(exact):
    _, score = aim(8, 1)
    vocabulary = Vocabulary.of(exact)
    differentiate_texts(exact, vocabulary.frame(vocabulary.read(["a dog"])), score)
    assert not find_token_layer(exact)._forward_hooks
    assert all(weight.grad is None for weight in exact.model.parameters())
