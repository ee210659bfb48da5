"""Judges by name, as the command line names them."""

from __future__ import annotations

from pathlib import Path

from safer_clip.errors import ConfigError
from safer_clip.judges.base import ImageJudge, TextJudge

IMAGE_JUDGES = "nudenet, the folder of a CLIP head, classifier:FOLDER, opennsfw:FILE.onnx, or chat:MODEL[@URL]"
TEXT_JUDGES = "the folder of a CLIP head, classifier:FOLDER, moderation:MODEL[@URL], or chat:MODEL[@URL]"


def load_judge(name: str) -> ImageJudge:
    """Load a judge of pictures.

    Args:
        name: ``"nudenet"``, the folder of a CLIP head (:mod:`safer_clip.judges.clip_head`), ``"classifier:FOLDER"``
            (:mod:`safer_clip.judges.classifier`), ``"opennsfw:FILE"`` (:mod:`safer_clip.judges.opennsfw`), or
            ``"chat:MODEL"`` with an optional ``@URL`` of the endpoint.

    Raises:
        ConfigError: there is no such judge, or what it needs is missing.
        JudgeError: there is no key for an endpoint.
    """
    kind, _, rest = name.partition(":")
    if name == "nudenet":
        from safer_clip.judges.nudenet import NudeNetJudge

        return NudeNetJudge()
    if kind == "chat" and rest:
        from safer_clip.judges.chat import ChatImageJudge

        return ChatImageJudge(*_split_address(rest))
    if kind == "classifier" and rest:
        from safer_clip.judges.classifier import ImageClassifierJudge

        return ImageClassifierJudge(rest)
    if kind == "opennsfw" and rest:
        from safer_clip.judges.opennsfw import OpenNsfwJudge

        return OpenNsfwJudge(Path(rest))
    if Path(name).is_dir():
        from safer_clip.judges.clip_head import ClipHeadJudge

        return ClipHeadJudge(Path(name))
    raise ConfigError(f"there is no judge {name!r} of pictures; name {IMAGE_JUDGES}")


def load_text_judge(name: str) -> TextJudge:
    """Load a judge of texts.

    Args:
        name: the folder of a CLIP head that is meant for texts, ``"classifier:FOLDER"``
            (:mod:`safer_clip.judges.classifier`), ``"moderation:MODEL"`` or ``"chat:MODEL"``, these two with an optional
            ``@URL`` of the endpoint.

    Raises:
        ConfigError: there is no such judge, or what it needs is missing.
        JudgeError: there is no key for an endpoint.
    """
    kind, _, rest = name.partition(":")
    if kind == "chat" and rest:
        from safer_clip.judges.chat import ChatTextJudge

        return ChatTextJudge(*_split_address(rest))
    if kind == "moderation" and rest:
        from safer_clip.judges.moderation import ModerationJudge

        return ModerationJudge(*_split_address(rest))
    if kind == "classifier" and rest:
        from safer_clip.judges.classifier import TextClassifierJudge

        return TextClassifierJudge(rest)
    if Path(name).is_dir():
        from safer_clip.judges.clip_head import ClipHeadTextJudge

        return ClipHeadTextJudge(Path(name))
    raise ConfigError(f"there is no judge {name!r} of texts; name {TEXT_JUDGES}")


def _split_address(named: str) -> tuple[str, str | None]:
    model, _, address = named.partition("@")
    return model, address or None
