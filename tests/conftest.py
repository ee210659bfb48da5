import os
import sys
from importlib.util import find_spec
from types import ModuleType

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch: workers, and what they start, would fight over the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from safer_clip.miniature import load_encoder

if find_spec("torchvision"):  # open_clip brings it along; beside a CPU build of torch its own operators are missing
    try:
        import torchvision
    except RuntimeError:
        sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")
        import torchvision  # noqa: F401

settings.register_profile("patient", deadline=None)  # a machine that does other work is no failure
settings.load_profile("patient")


@pytest.fixture(scope="module")
def encoder():
    """The miniature CLIP, for a module that does not change it: training wraps a model in place."""
    return load_encoder()
