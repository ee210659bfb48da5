"""The miniature as a source: endless scenes, their unsafe variants, and captions of both.

Scenes use the combinations of the test bucket in style b, as Mini-NSFW-Caps does, and a stream of their own. They are
drawn as an ordinary captioned set would come: some show no accessory, some captions leave it out or name the subject
alone, a few repeat, and a few scenes are unsafe already.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace

from safer_clip.errors import ConfigError
from safer_clip.miniature.captions import VISU_SAFE_MENTIONS, Wording, write_caption
from safer_clip.miniature.dice import Dice
from safer_clip.miniature.rendering import render_image
from safer_clip.miniature.scenes import Kinds, Scene, compose_pair, draw_accessory, draw_scene, swap_accessory
from safer_clip.miniature.vocabulary import Thing, load_vocabulary

KINDS: Kinds = (("pair", 0.78), ("single", 0.16), ("count", 0.03), ("position", 0.03))
WORDING = Wording(VISU_SAFE_MENTIONS, synonym=0.1)
UNSAFE_ALREADY = 0.03
JITTER = 2


def draw_source_scene(seed: int, index: int) -> Scene:
    """The scene of a source's ``index``-th picture."""
    dice = Dice("benchmark", seed, index)
    unsafe = dice.chance(UNSAFE_ALREADY)
    return draw_scene(dice, "b", "test", unsafe=unsafe, safe_kinds=KINDS)


def caption_scene(scene: Scene, seed: int, index: int) -> str:
    """The caption of a scene or of its variant: the same dice, so that they differ in the accessory alone."""
    return write_caption(scene, Dice("benchmark", seed, index, "caption"), WORDING)


def make_unsafe(scene: Scene, seed: int, index: int) -> Scene | None:
    """Swap the accessory for a stand-in that it is akin to, or add one where there is none.

    Returns:
        The unsafe variant, or ``None`` if the scene is unsafe already, shows several subjects or one at an edge, or the test
        bucket allows no stand-in beside its subject.
    """
    if scene.unsafe or scene.position or len(scene.subjects) > 1:
        return None
    thing = _draw_stand_in(scene, Dice("benchmark", seed, index, "stand-in"))
    if thing is None:
        return None
    if scene.accessory is not None:
        return swap_accessory(scene, thing)
    beside = compose_pair(Dice("benchmark", seed, index, "beside"), "b", scene.subject, scene.place, thing)
    drawn = beside.accessory
    return replace(scene, subjects=(replace(scene.subjects[0], x=beside.subjects[0].x),), accessory=drawn)


def jitter_accessory(scene: Scene, seed: int, index: int, take: int) -> Scene:
    """Another picture of the same scene: the accessory a little moved; take 0 is the scene itself."""
    if take == 0 or scene.accessory is None:
        return scene
    dice = Dice("benchmark", seed, index, "take", take)
    drawn = scene.accessory
    x, y, larger = drawn.x + dice.between(-JITTER, JITTER), drawn.y + dice.between(-JITTER, JITTER), dice.between(0, JITTER)
    return replace(scene, accessory=replace(drawn, x=x, y=y, size=drawn.size + larger))


def encode_scene(scene: Scene) -> bytes:
    """Paint a scene as PNG."""
    buffer = io.BytesIO()
    render_image(scene).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _draw_stand_in(scene: Scene, dice: Dice) -> Thing | None:
    unsafe = load_vocabulary().unsafe
    family = scene.accessory.thing.family if scene.accessory else None
    akin = [thing for thing in unsafe if family is None or thing.family == family]
    return draw_accessory(dice, scene.subject, "test", akin)


def name_scene(index: int) -> str:
    """The id of a source's ``index``-th picture."""
    return f"miniature-{index:06d}"


def read_index(key: str) -> int:
    """The index in an id; the inverse of :func:`name_scene`.

    Raises:
        ConfigError: the id is of another source.
    """
    if not re.fullmatch(r"miniature-\d{6,}", key):
        raise ConfigError(f"{key!r} is no scene of the miniature; what it is asked for needs --source miniature")
    return int(key.removeprefix("miniature-"))
