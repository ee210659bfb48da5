"""Judges by name, as the command line names them."""

from __future__ import annotations

from pathlib import Path

from safer_clip.errors import ConfigError
from safer_clip.judges.base import ImageJudge

KNOWN = "nudenet, the folder of a CLIP head, or chat:MODEL[@URL]"


def load_judge(name: str) -> ImageJudge:
    """Load a judge.

    Args:
        name: ``"nudenet"``, the folder of a CLIP head (:mod:`safer_clip.judges.clip_head`), or ``"chat:MODEL"`` with an
            optional ``@URL`` of the endpoint.

    Raises:
        ConfigError: there is no such judge, or what it needs is missing.
    """
    if name == "nudenet":
        from safer_clip.judges.nudenet import NudeNetJudge

        return NudeNetJudge()
    if name.startswith("chat:"):
        from safer_clip.judges.chat import ChatJudge

        model, _, address = name.removeprefix("chat:").partition("@")
        return ChatJudge(model, address or None)
    if Path(name).is_dir():
        from safer_clip.judges.clip_head import ClipHeadJudge

        return ClipHeadJudge(Path(name))
    raise ConfigError(f"there is no judge {name!r}; name {KNOWN}")
