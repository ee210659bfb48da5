"""Write a model in a format, load it back, compare, and keep the figures beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from safer_clip.environment import describe_versions
from safer_clip.errors import ConfigError, SaferClipError
from safer_clip.export.onnx import OnnxExport
from safer_clip.export.open_clip import OpenClipExport
from safer_clip.export.probe import Outputs, Probe, build_probe, largest_difference, smallest_cosine
from safer_clip.export.towers import DiffusersExport, LlavaExport, SingleFileExport, TransformersExport
from safer_clip.files import prepare_output, write_json
from safer_clip.fingerprints import fingerprint_model
from safer_clip.models.dual_encoder import DualEncoder
from safer_clip.models.similarity import COSINE
from safer_clip.models.sources import locate_model
from safer_clip.models.strength import load_adapter
from safer_clip.tuning import find_base

RECORD_FILE = "export.json"
TOLERANCE = 1e-4
"""Largest absolute difference that is taken for rounding, in single precision."""


class ExportError(SaferClipError):
    """An export does not answer as the model does."""


class Format(Protocol):
    """A layout that another tool loads."""

    @property
    def families(self) -> tuple[str, ...]:
        """Model types that it can express."""
        ...

    def write(self, encoder: DualEncoder, folder: Path) -> None:
        """Write the model into an existing folder."""
        ...

    def expect(self, encoder: DualEncoder, probe: Probe) -> Outputs:
        """What the model itself answers."""
        ...

    def answer(self, folder: Path, probe: Probe) -> Outputs:
        """What the tool answers that loads the folder."""
        ...


FORMATS: dict[str, Format] = {
    "transformers": TransformersExport(),
    "open_clip": OpenClipExport(),
    "diffusers": DiffusersExport(),
    "llava": LlavaExport(),
    "onnx": OnnxExport(),
    "single-file": SingleFileExport(),
}


KEEP_SIMILARITY = ("transformers", "diffusers", "llava")
"""Formats that either keep a model's similarity beside it or have no use for one."""


@dataclass(frozen=True)
class ExportRecord:
    """What ``export.json`` says.

    Attributes:
        format: the layout.
        max_abs_difference: largest absolute difference between the model's outputs and the reloaded export's.
        cosine_min: smallest cosine of an output vector with its counterpart.
        outputs: what was compared.
        model_fingerprint: of the model that was exported.
        versions: package versions.
        strength: of the adapter; none where the model was exported as its folder has it.
    """

    format: str
    max_abs_difference: float
    cosine_min: float
    outputs: list[str]
    model_fingerprint: str
    versions: dict[str, str]
    strength: float | None = None


def export_model(
    model: str | Path,
    name: str,
    output: Path,
    overwrite: bool = False,
    strength: float | None = None,
    base: str | None = None,
) -> ExportRecord:
    """Export a model folder, and keep the export only if it answers a probe batch as the model does.

    Args:
        model: folder in the ``transformers`` layout, adapters merged.
        name: one of :data:`FORMATS`.
        output: folder to write.
        overwrite: write over what the folder holds.
        strength: export the base model plus this much of the folder's adapter instead, and compare with that model.
        base: for a strength, the pre-trained model; by default the one that the folder's ``training.json`` names.

    Raises:
        ConfigError: there is no such format, a package is missing, the model cannot be expressed in the format, the output
            is in use, a base model is named without a strength, or the folder has no adapter of that base model.
        ExportError: the reloaded export differs from the model by more than rounding; nothing is left behind.
    """
    if name not in FORMATS:
        raise ConfigError(f"there is no export format {name!r}; there are {', '.join(FORMATS)}")
    with _load_at(Path(model), strength, base) as encoder:
        _check_expressible(encoder, name, model)
        return _export(encoder, name, prepare_output(output, overwrite), strength)


def _check_expressible(encoder: DualEncoder, name: str, model: str | Path) -> None:
    if encoder.similarity != COSINE and name not in KEEP_SIMILARITY:
        raise ConfigError(
            f"{model} does not compare by cosine, which is all that {name} knows; export it as {', '.join(KEEP_SIMILARITY)}"
        )
    if encoder.family.name not in FORMATS[name].families:
        known = ", ".join(FORMATS[name].families)
        raise ConfigError(f"{model} is of type {encoder.family.name!r}, and {name} can hold {known} only")


def _export(encoder: DualEncoder, name: str, output: Path, strength: float | None) -> ExportRecord:
    draft = output / f".{name}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        record = replace(_write_and_compare(encoder, name, draft), strength=strength)
        write_json(draft / RECORD_FILE, asdict(record))
        _move_into(draft, output)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return record


@contextmanager
def _load_at(folder: Path, strength: float | None, base: str | None) -> Iterator[DualEncoder]:
    if strength is None:
        if base:
            raise ConfigError("a base model is needed for a strength of the adapter only; name the strength as well")
        yield DualEncoder.load(folder, "cpu")
        return
    encoder = DualEncoder.load(locate_model(find_base(folder, base)), "cpu")
    with load_adapter(encoder, folder).at(strength) as scaled:
        yield scaled


def _write_and_compare(encoder: DualEncoder, name: str, folder: Path) -> ExportRecord:
    layout, probe = FORMATS[name], build_probe(encoder)
    fingerprint = fingerprint_model(encoder.model)
    layout.write(encoder, folder)
    expected, found = layout.expect(encoder, probe), layout.answer(folder, probe)
    difference, cosine = largest_difference(expected, found), smallest_cosine(expected, found)
    if not difference <= TOLERANCE * max(1.0, _largest(expected)):
        raise ExportError(
            f"the {name} export answers otherwise than the model: difference {difference:.3g}, cosine {cosine:.6f}"
        )
    return ExportRecord(name, difference, cosine, list(expected), fingerprint, describe_versions())


def _largest(outputs: Outputs) -> float:
    return max(float(abs(values).max()) for values in outputs.values())


def _move_into(draft: Path, output: Path) -> None:
    for item in draft.iterdir():
        target = output / item.name
        if target.is_dir():
            shutil.rmtree(target)
        item.replace(target)
