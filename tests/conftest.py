import pytest
from hypothesis import settings

from safer_clip.miniature import load_encoder

settings.register_profile("patient", deadline=None)  # a machine that does other work is no failure
settings.load_profile("patient")


@pytest.fixture(scope="module")
def encoder():
    """The miniature CLIP, for a module that does not change it: training wraps a model in place."""
    return load_encoder()
