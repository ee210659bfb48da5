from dataclasses import replace

import numpy as np
import torch

from safer_clip.editing.base import copy_encoder, measure_change
from safer_clip.models.similarity import Lorentz


def test_a_copy_compares_as_the_original_does_and_can_be_changed_by_itself(encoder):
    original = replace(encoder, similarity=Lorentz(curvature=1.0, text_scale=0.5, image_scale=0.5))
    before = original.encode_texts(["a dog"])
    copied = copy_encoder(original)
    assert np.array_equal(copied.encode_texts(["a dog"]), before)
    with torch.no_grad():
        copied.model.text_projection.weight.neg_()
    assert np.array_equal(original.encode_texts(["a dog"]), before)
    assert measure_change(original.model, copied.model)["text"] > 0
