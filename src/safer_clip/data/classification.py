"""Image-classification sets for zero-shot, from the layouts that they come in.

- An *image folder*: one folder of pictures a class, named after it. ``classnames.txt`` beside them gives better names,
  a line for each folder in sorted order.
- A *datasets table* written by ``Dataset.save_to_disk``, with one image column and one ``ClassLabel`` column.
- *CLIP_benchmark's WebDataset layout*: ``test/*.tar`` (or ``*.tar``) with members such as ``s0000001.jpg`` and
  ``s0000001.cls``, beside ``classnames.txt`` and ``zeroshot_classification_templates.txt``.

Prompts come from ``zeroshot_classification_templates.txt`` or ``templates.txt`` in the folder, a template a line with ``{}``
or ``{c}`` for the class; else from the habitual ones of a data set of that name (:data:`HABITUAL_TEMPLATES`); else
``a photo of a {}.``
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, overload

from safer_clip.data.pictures import COMMON_SUFFIXES
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_SUFFIXES = (*COMMON_SUFFIXES, ".bmp", ".gif", ".tif", ".tiff")
TEMPLATE_FILES = ("zeroshot_classification_templates.txt", "templates.txt")
CLASSES_FILE = "classnames.txt"
DEFAULT_TEMPLATES = ("a photo of a {}.",)

HABITUAL_TEMPLATES: dict[str, tuple[str, ...]] = {
    "imagenet": (
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    ),
    "caltech101": ("a photo of a {}.",),
    "oxfordpets": ("a photo of a {}, a type of pet.",),
    "stanfordcars": ("a photo of a {}.",),
    "flowers102": ("a photo of a {}, a type of flower.",),
    "food101": ("a photo of {}, a type of food.",),
    "fgvcaircraft": ("a photo of a {}, a type of aircraft.",),
    "sun397": ("a photo of a {}.",),
    "dtd": ("{} texture.",),
    "eurosat": ("a centered satellite photo of {}.",),
    "ucf101": ("a photo of a person doing {}.",),
}
"""Templates of the field's habitual eleven sets: ImageNet's are Tip-Adapter's seven of CLIP's eighty, the others CoOp's."""

Opener = Callable[[], "Image"]


class LazyPictures(Sequence[Any]):
    """Pictures that are opened when they are looked at, so that a set need not fit into memory."""

    def __init__(self, openers: Sequence[Opener]) -> None:
        self._openers = openers

    def __len__(self) -> int:
        return len(self._openers)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        if isinstance(index, slice):
            return [opener() for opener in self._openers[index]]
        return self._openers[index]()


@dataclass(frozen=True)
class LabelledPictures:
    """A classification set as its source has it.

    Attributes:
        name: of the set.
        images: opened when they are looked at, RGB.
        labels: class index of each.
        classes: names of the classes.
        templates: prompts with ``{}`` for the class.
    """

    name: str
    images: LazyPictures
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def prompts(self) -> list[list[str]]:
        """For each class its ensemble of prompts."""
        return [[template.replace("{}", name) for template in self.templates] for name in self.classes]


def read_classification(path: Path | str) -> LabelledPictures:
    """Read a classification set of any of the layouts.

    Raises:
        DataError: lists everything that is wrong: unreadable pictures, labels without a class, files that are missing.
    """
    path = Path(path)
    log = ProblemLog(path)
    if not path.is_dir():
        log.fail(Kind.FILE_NOT_FOUND, "there is no such folder; a classification set is a folder")
    name = path.resolve().name
    if (path / "dataset_info.json").is_file() and (path / "state.json").is_file():
        openers, labels, classes = _read_saved(path, log)
    elif shards := _find_shards(path):
        openers, labels, classes = _read_shards(path, shards, log)
    else:
        openers, labels, classes = _read_folders(path, log)
    templates = _read_templates(path, name, log)
    _check_labels(labels, classes, log)
    log.raise_if_errors()
    return LabelledPictures(name, LazyPictures(openers), tuple(labels), tuple(classes), templates)


Found = tuple[list[Opener], list[int], list[str]]


def _read_folders(path: Path, log: ProblemLog) -> Found:
    folders = sorted(item for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))
    classes = _read_classes(path) or [folder.name.replace("_", " ") for folder in folders]
    if not folders:
        log.fail(Kind.EMPTY_FILE, "holds neither a folder a class, nor tar files, nor a saved table")
    if len(classes) != len(folders):
        log.fail(Kind.BROKEN_FILE, f"{CLASSES_FILE} has {len(classes)} lines for {len(folders)} folders")
    openers: list[Opener] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        pictures = sorted(item for item in folder.iterdir() if item.suffix.lower() in PICTURE_SUFFIXES)
        if not pictures:
            log.error(Kind.MISSING_IMAGE, f"class folder {folder.name!r} holds no picture")
        for picture in pictures:
            _check_header(picture, log, len(labels) + 1)
            openers.append(lambda picture=picture: open_picture(picture))  # type: ignore[misc]
            labels.append(label)
    return openers, labels, classes


def _read_saved(path: Path, log: ProblemLog) -> Found:
    from datasets import ClassLabel, Image, load_from_disk

    table = load_from_disk(str(path))
    images = [name for name, feature in table.features.items() if isinstance(feature, Image)]
    targets = [name for name, feature in table.features.items() if isinstance(feature, ClassLabel)]
    if len(images) != 1 or len(targets) != 1:
        told = f"{len(images)} image and {len(targets)} ClassLabel columns"
        log.fail(Kind.MISSING_FIELD, f"expected one image and one ClassLabel column, found {told}")
    rows = table.select_columns(images)
    openers: list[Opener] = [lambda i=i: rows[i][images[0]].convert("RGB") for i in range(len(table))]  # type: ignore[misc]
    classes = _read_classes(path) or [name.replace("_", " ") for name in table.features[targets[0]].names]
    return openers, list(table[targets[0]]), classes


def _find_shards(path: Path) -> list[Path]:
    return sorted((path / "test").glob("*.tar")) or sorted(path.glob("*.tar"))


def _read_shards(path: Path, shards: Sequence[Path], log: ProblemLog) -> Found:
    classes = _read_classes(path)
    if not classes:
        log.fail(Kind.FILE_NOT_FOUND, f"{CLASSES_FILE} is missing; CLIP_benchmark keeps the class names there")
    openers: list[Opener] = []
    labels: list[int] = []
    for shard in shards:
        try:
            _read_shard(shard, openers, labels, log)
        except (tarfile.TarError, OSError, EOFError) as error:
            log.error(Kind.BROKEN_FILE, f"shard {shard.name} cannot be read: {error}")
    return openers, labels, classes


def _read_shard(shard: Path, openers: list[Opener], labels: list[int], log: ProblemLog) -> None:
    pictures: dict[str, tuple[int, int]] = {}
    targets: dict[str, int] = {}
    with tarfile.open(shard) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            key, suffix = str(name.parent / name.name.split(".", 1)[0]), "." + name.name.split(".", 1)[-1].lower()
            if suffix in PICTURE_SUFFIXES:
                pictures[key] = (member.offset_data, member.size)
            elif suffix == ".cls":
                content = archive.extractfile(member)
                targets[key] = int(content.read().decode().strip()) if content else -1
    for key in sorted(set(pictures) ^ set(targets)):
        log.error(Kind.BROKEN_ROW, f"{shard.name}: sample {key} has no {'.cls' if key in pictures else 'picture'}")
    for key in sorted(set(pictures) & set(targets)):
        offset, size = pictures[key]
        openers.append(lambda offset=offset, size=size: _open_within(shard, offset, size))  # type: ignore[misc]
        labels.append(targets[key])


def _read_classes(path: Path) -> list[str]:
    file = path / CLASSES_FILE
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()] if file.is_file() else []


def _read_templates(path: Path, name: str, log: ProblemLog) -> tuple[str, ...]:
    file = next((path / candidate for candidate in TEMPLATE_FILES if (path / candidate).is_file()), None)
    if file is None:
        plain = "".join(letter for letter in name.lower() if letter.isalnum())
        return next((found for key, found in HABITUAL_TEMPLATES.items() if key in plain), DEFAULT_TEMPLATES)
    lines = [line.strip().replace("{c}", "{}") for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        if "{}" not in line:
            log.error(Kind.BROKEN_ROW, f"{file.name}, line {number}: {line!r} has no {{}} for the class")
    if not lines:
        log.error(Kind.EMPTY_FILE, f"{file.name} has no template")
    return tuple(lines)


def _check_labels(labels: Sequence[int], classes: Sequence[str], log: ProblemLog) -> None:
    outside = sorted({label for label in labels if not 0 <= label < len(classes)})
    if outside:
        shown = ", ".join(map(str, outside[:5]))
        log.error(Kind.WRONG_TYPE, f"labels {shown} have no class; there are {len(classes)}, counted from 0")
    if not labels:
        log.error(Kind.EMPTY_FILE, "has no labelled picture")


def _check_header(picture: Path, log: ProblemLog, row: int) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(picture):
            pass
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        log.error(Kind.UNREADABLE_IMAGE, f"{picture.parent.name}/{picture.name}: {error}", row=row)


def open_picture(picture: Path) -> Image:
    """Open and decode a picture file as RGB."""
    from PIL import Image

    with Image.open(picture) as opened:
        return opened.convert("RGB")


def _open_within(shard: Path, offset: int, size: int) -> Image:
    from PIL import Image, UnidentifiedImageError

    with shard.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    try:
        with Image.open(io.BytesIO(content)) as opened:
            return opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        log = ProblemLog(shard)
        log.error(Kind.UNREADABLE_IMAGE, f"the picture at byte {offset} cannot be read: {error}")
        raise DataError(log.errors) from error
