import pytest

from safer_clip.miniature import load_encoder


@pytest.fixture(scope="module")
def encoder():
    """The miniature CLIP, for a module that does not change it: training wraps a model in place."""
    return load_encoder()
