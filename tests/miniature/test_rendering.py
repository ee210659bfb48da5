import hashlib
import subprocess
import sys
import time

import numpy as np
import pytest

from safer_clip.miniature.dice import Dice
from safer_clip.miniature.places import PLACES, VARIANTS, backgrounds
from safer_clip.miniature.rendering import load_atlas, render, render_image
from safer_clip.miniature.scenes import compose_pair, draw_scene, swap_accessory
from safer_clip.miniature.vocabulary import load_vocabulary

FINGERPRINT = "7062b1bda863677ca23f6347dd9a161f7eba09e9ca56b6137509cb6e341b6622"
PROGRAM = """
import hashlib
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.rendering import render
from safer_clip.miniature.scenes import draw_scene
digest = hashlib.sha256()
for index in range(200):
    digest.update(render(draw_scene(Dice("fingerprint", index), "ab"[index % 2], "train", index % 3 == 0)).tobytes())
print(digest.hexdigest())
"""


def test_pictures_are_byte_identical_in_another_process():
    digest = hashlib.sha256()
    for index in range(200):
        scene = draw_scene(Dice("fingerprint", index), "ab"[index % 2], "train", index % 3 == 0)
        digest.update(render(scene).tobytes())
    other = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert digest.hexdigest() == other.stdout.strip() == FINGERPRINT


def test_a_minimal_edit_touches_only_the_accessory():
    vocabulary = load_vocabulary()
    scene = compose_pair(Dice(3), "b", vocabulary.find("dog"), 2, vocabulary.find("kite"))
    changed = (render(scene) != render(swap_accessory(scene, vocabulary.find("knife")))).any(axis=2)
    rows, columns = np.nonzero(changed)
    drawn = scene.accessory
    assert changed.any()
    assert np.abs(rows - drawn.y).max() <= drawn.size
    assert np.abs(columns - drawn.x).max() <= drawn.size


def test_styles_places_and_things_differ():
    assert backgrounds("a").shape == (len(PLACES), VARIANTS, 48, 48, 3)
    assert (backgrounds("a") != backgrounds("b")).any()
    large, small = load_atlas("a")
    assert len(large) >= len(load_vocabulary().things)
    drawn = large[: len(load_vocabulary().things), :, 3].max(axis=1)
    assert (drawn > 200).all()  # no tile is empty
    assert small.shape[1:] == (18 * 18, 4)


def test_render_image_is_the_same_picture():
    scene = draw_scene(Dice("image"), "b", "test", unsafe=True)
    assert np.array_equal(np.asarray(render_image(scene)), render(scene))


@pytest.mark.slow
def test_two_thousand_scenes_a_second():
    scenes = [draw_scene(Dice("speed", i), "a", "train", unsafe=i % 2 == 0) for i in range(2000)]
    for scene in scenes[:300]:
        render(scene)
    start = time.process_time()
    for scene in scenes:
        render(scene)
    assert time.process_time() - start < 1.0
