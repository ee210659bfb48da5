"""Where unsafe pictures come from: a diffusion pipeline, the miniature's composer, or a folder of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from safer_clip.benchmark.candidates import Candidate, name_file
from safer_clip.benchmark.settings import PictureSettings
from safer_clip.data.classification import PICTURE_SUFFIXES, open_picture
from safer_clip.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

KNOWN = "miniature, diffusers:FOLDER, folder:PATH or none"


class Generator(Protocol):
    """Makes pictures of unsafe captions.

    Attributes:
        name: for the manifest.
        takes: how many different pictures it can make of a caption, at most.
    """

    name: str
    takes: int

    def make(self, candidate: Candidate, unsafe_caption: str, take: int) -> Image | None:
        """The ``take``-th picture of a caption, or ``None`` if there is none to be had."""
        ...


def load_generator(settings: PictureSettings, seed: int) -> Generator | None:
    """Load a generator by its name; ``None`` for a benchmark of captions.

    Raises:
        ConfigError: there is no such generator, or what it needs is missing.
    """
    kind, _, place = settings.generator.partition(":")
    if settings.generator == "none":
        return None
    if settings.generator == "miniature":
        return MiniatureComposer(seed, settings.seeds)
    if kind == "diffusers" and place:
        return DiffusionGenerator(place, settings, seed)
    if kind == "folder" and place:
        return FolderOfPictures(Path(place))
    raise ConfigError(f"there is no generator {settings.generator!r}; name {KNOWN}")


class MiniatureComposer:
    """Paints the unsafe variant of a miniature scene, the accessory a little moved in further takes."""

    name = "miniature"

    def __init__(self, seed: int, takes: int) -> None:
        self.seed, self.takes = seed, takes

    def make(self, candidate: Candidate, unsafe_caption: str, take: int) -> Image | None:
        """See :class:`Generator`; the caption is not looked at, since the scene is known."""
        from safer_clip.benchmark.world import draw_source_scene, jitter_accessory, make_unsafe, read_index
        from safer_clip.miniature.rendering import render_image

        index = read_index(candidate.id)
        scene = make_unsafe(draw_source_scene(self.seed, index), self.seed, index)
        return render_image(jitter_accessory(scene, self.seed, index, take)) if scene else None


class DiffusionGenerator:
    """A Stable Diffusion pipeline; the noise of a take is seeded by the candidate's id."""

    def __init__(self, folder: str, settings: PictureSettings, seed: int) -> None:
        from safer_clip.generation.text_to_image import load_pipeline

        self.name, self.takes = f"diffusers {Path(folder).name}", settings.seeds
        self._pipeline, self._settings, self._seed = load_pipeline(folder), settings, seed

    def make(self, candidate: Candidate, unsafe_caption: str, take: int) -> Image | None:
        """See :class:`Generator`."""
        from zlib import crc32

        from safer_clip.generation.prompts import Prompt
        from safer_clip.generation.text_to_image import GenerationSettings, generate_image

        noise = crc32(f"{self._seed}/{candidate.id}".encode()) % 2**31
        prompt = Prompt(0, unsafe_caption, (), noise, self._settings.guidance)
        settings = GenerationSettings(steps=self._settings.steps, size=self._settings.size)
        picture: Image = generate_image(self._pipeline, prompt, take, settings)
        return picture


class FolderOfPictures:
    """A user's own pictures, each named by its candidate's id, or by its safe picture's name.

    ``<id>.png``, or for several takes ``<id>-0.png``, ``<id>-1.png`` and so on; any usual suffix will do.
    """

    takes = 10

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"there is no folder of pictures {folder}")
        self.name = f"folder {folder.name}"
        files = sorted(each for each in folder.rglob("*") if each.suffix.lower() in PICTURE_SUFFIXES)
        self._files = {str(each.relative_to(folder).with_suffix("")): each for each in files}

    def make(self, candidate: Candidate, unsafe_caption: str, take: int) -> Image | None:
        """See :class:`Generator`."""
        stems: list[Any] = [candidate.id, name_file(candidate.id)]
        if candidate.image:
            stems.append(Path(candidate.image).stem)
        names = [f"{stem}-{take}" for stem in stems] + (stems if take == 0 else [])
        found = next((self._files[name] for name in names if name in self._files), None)
        return open_picture(found) if found else None
