"""SafeR-CLIP with one ingredient changed at a time: what carries its effect?

All else stays as the method has it on the data at hand, learning rate included: compare along the curves, at equal utility
or at equal safety, and not at the trained models alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safer_clip.errors import ConfigError
from safer_clip.repeating.plans import HOUSE_METHOD, UNTOUCHED, Variant

ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
PERCEPTRON = ("fc1", "fc2")

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "pairing_own": ("own pair", {"pairing": "own"}),
    "pairing_image": ("nearest image", {"pairing": "nearest_image"}),
    "pairing_both": ("nearest caption and image", {"pairing": "nearest_both"}),
    "pairing_mixture": ("ten near captions", {"pairing": "mixture"}),
    "negatives_none": ("no negative", {"objective": {"negatives": "none"}}),
    "negatives_batch": ("negatives of the batch", {"objective": {"negatives": "batch"}}),
    "no_cross_modal": ("no relative redirection", {"objective": {"cross_modal": 0.0}}),
    "no_uni_modal": ("no proximity redirection", {"objective": {"uni_modal": 0.0}}),
    "no_preservation": ("no preservation by cosine", {"objective": {"preservation": 0.0}}),
    "no_cross_preservation": ("no preservation across modalities", {"objective": {"cross_preservation": 0.0}}),
    "curriculum_off": ("no curriculum", {"curriculum": ()}),
    "curriculum_reversed": ("curriculum reversed", {"curriculum_order": "hard"}),
    "rank_4": ("LoRA rank 4", {"lora": {"rank": 4, "alpha": 4.0}}),
    "rank_64": ("LoRA rank 64", {"lora": {"rank": 64, "alpha": 64.0}}),
    "lora_attention": ("LoRA on attention alone", {"lora": {"targets": ATTENTION}}),
    "lora_perceptron": ("LoRA on fc1 and fc2 alone", {"lora": {"targets": PERCEPTRON}}),
}


def list_ablations(names: Sequence[str] = ()) -> list[Variant]:
    """The untouched model, the whole method, and each change of it, or those that are named.

    Raises:
        ConfigError: there is no change of a name.
    """
    unknown = [name for name in names if name not in CHANGES]
    if unknown:
        raise ConfigError(f"there is no change {', '.join(unknown)}; there are {', '.join(CHANGES)}")
    chosen = {name: CHANGES[name] for name in names or CHANGES}
    changed = [Variant(key, f"SafeR-CLIP, {title}", HOUSE_METHOD, changes) for key, (title, changes) in chosen.items()]
    return [UNTOUCHED, Variant(HOUSE_METHOD, "SafeR-CLIP", HOUSE_METHOD), *changed]
