"""Image-to-text with a swapped vision tower, resumable picture by picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safer_clip.data.picture_folders import PictureFolder
from safer_clip.environment import describe_versions
from safer_clip.errors import ConfigError
from safer_clip.files import write_bytes, write_json
from safer_clip.fingerprints import fingerprint_model
from safer_clip.models.loading import load_preparation, load_whole, pick_device
from safer_clip.models.sources import locate_model
from safer_clip.progress import show_progress
from safer_clip.resuming import Journal

if TYPE_CHECKING:
    from PIL.Image import Image

SHAPE = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)
"""What two vision towers must have in common for the weights of one to mean the same in the other."""
NORMALISATION = ("image_mean", "image_std")


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """How to caption.

    Attributes:
        prompt: what the model is asked about each picture.
        max_new_tokens: longest answer.
    """

    prompt: str = "Describe the picture in one sentence."
    max_new_tokens: int = 64


@dataclass(frozen=True)
class Captioner:
    """A model that answers questions about pictures.

    Attributes:
        name: folder or hub name that the model came from.
        model: of the ``transformers`` image-text-to-text family.
        processor: its tokenizer and image processor.
    """

    name: str
    model: Any
    processor: Any

    def describe(self) -> dict[str, str]:
        """What was used: the model's name, and a digest of the weights that its vision part really has."""
        tower = find_tower(self.model)
        return {"llava": self.name, "vision": fingerprint_model(self.model if tower is None else tower)}

    def answer(self, image: Image, settings: CaptionSettings) -> str:
        """Ask about one picture, decoding greedily."""
        import torch

        inputs = self.processor(images=[image], text=[self._word(settings.prompt)], return_tensors="pt")
        inputs = inputs.to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            tokens = self.model.generate(**inputs, max_new_tokens=settings.max_new_tokens, do_sample=False, num_beams=1)
        told = self.processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return str(told).strip()

    def _word(self, prompt: str) -> str:
        if not self.processor.chat_template:
            return f"USER: {self.processor.image_token}\n{prompt} ASSISTANT:"  # LLaVA 1.5's
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
        return str(self.processor.apply_chat_template([turn], add_generation_prompt=True))


def load_captioner(llava: str, vision_tower: Path | None = None) -> Captioner:
    """Load a LLaVA-type model, with a vision tower from ``safer-clip export --format llava`` in its place.

    Any model of ``AutoModelForImageTextToText`` can be loaded; a tower can be swapped where the model calls it
    ``vision_tower``, as the LLaVA families do. Single precision on a CPU, the checkpoint's own on a GPU.

    Args:
        llava: folder, or name on the hub.
        vision_tower: folder of the export; ``None`` leaves the model as it is.

    Raises:
        ConfigError: a folder holds something else, or the tower does not fit the model.
        DownloadError: the hub did not give the model.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if vision_tower:
        _read_config(vision_tower)  # before a large model is loaded
    folder, device = locate_model(llava), pick_device()
    processor = load_preparation(AutoProcessor, folder, backend="pil")
    dtype = torch.float32 if device == "cpu" else "auto"
    model = load_whole(AutoModelForImageTextToText, folder, dtype=dtype).to(device)
    if vision_tower:
        swap_tower(model, processor, vision_tower)
    return Captioner(llava, model, processor)


def find_tower(model: Any) -> Any:
    """The vision tower of a LLaVA-type model; ``None`` if it has nothing of that name."""
    return getattr(getattr(model, "model", model), "vision_tower", None)


def swap_tower(model: Any, processor: Any, folder: Path) -> None:
    """Give a model's vision tower the weights of an export.

    Raises:
        ConfigError: the folder is no such export, or its tower differs from the model's; tells in what.
    """
    config, tower = _read_config(folder), find_tower(model)
    if tower is None:
        raise ConfigError(f"{type(model).__name__} has no vision tower that could be swapped; name a LLaVA-type model")
    own = tower.config.to_dict()
    differing = [f"{name} {config.get(name)}, not {own.get(name)}" for name in SHAPE if config.get(name) != own.get(name)]
    differing += _compare_normalisation(folder, processor.image_processor)
    if differing:
        advice = "tune and export the CLIP that the model was built on"
        raise ConfigError(f"{folder} does not fit {type(model).__name__}: it has {'; '.join(differing)}; {advice}")
    tower.load_state_dict(load_whole(type(tower), folder, dtype=tower.dtype).state_dict(), strict=True)


def caption_images(captioner: Captioner, source: PictureFolder, output: Path, settings: CaptionSettings) -> int:
    """Caption what an interrupted run left, and write all captions as JSON lines: ``file`` and ``caption``.

    Captions are kept in a journal beside the output as soon as they are there; ``<output>.manifest.json`` tells settings,
    weights and versions. Captions of equal pictures are equal and made once.

    Returns:
        How many captions were made; those of an interrupted run are kept.

    Raises:
        ConfigError: the interrupted run had other settings.
    """
    chosen = {**captioner.describe(), **asdict(settings)}
    journal = Journal.beside(output, chosen)
    missing = {digest: i for i, digest in enumerate(source.digests) if digest not in journal}
    with show_progress("Captioning", len(missing)) as advance:
        for digest, i in missing.items():
            journal.add(digest, captioner.answer(source.pictures[i], settings))
            advance(1)
    pairs = zip(source.names, source.digests, strict=True)
    rows = [json.dumps({"file": name, "caption": journal[digest]}, ensure_ascii=False) + "\n" for name, digest in pairs]
    manifest = {"settings": chosen, "pictures": len(rows), "versions": describe_versions()}
    write_json(output.with_name(f"{output.name}.manifest.json"), manifest)
    write_bytes(output, "".join(rows).encode())
    journal.finish()
    return len(missing)


def _read_config(folder: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    advice = "write one with safer-clip export --format llava"
    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is no export for LLaVA: it has no model configuration; {advice}") from error
    if not config["model_type"].endswith("_vision_model"):
        raise ConfigError(f"{folder} is no vision tower but a model of type {config['model_type']!r}; {advice}")
    return config


def _compare_normalisation(folder: Path, own: Any) -> list[str]:
    from transformers import AutoImageProcessor

    exported = load_preparation(AutoImageProcessor, folder, backend="pil")
    pairs = [(name, list(getattr(exported, name) or ()), list(getattr(own, name) or ())) for name in NORMALISATION]
    return [f"{name} {theirs}, not {ours}" for name, theirs, ours in pairs if theirs != ours]
