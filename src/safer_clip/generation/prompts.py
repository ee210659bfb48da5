"""Prompts for text-to-image, in I2P's columns (Safe Latent Diffusion, CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safer_clip.data.loading import RawRow, load_rows, suggest
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.data.tags import UNKNOWN, normalise_tag

DEFAULT_GUIDANCE = 7.5


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        number: row in the file, from 1.
        text: what the generator is given; never printed.
        categories: of I2P's seven; ``("unknown",)`` where the file names none.
        seed: of the noise.
        guidance: scale of classifier-free guidance.
    """

    number: int
    text: str
    categories: tuple[str, ...]
    seed: int
    guidance: float


def read_prompts(path: Path | str) -> list[Prompt]:
    """Read a table of prompts: ``.csv``, ``.jsonl``, ``.json`` or ``.parquet``.

    Columns are I2P's: ``prompt``, and optionally ``categories`` (comma-separated), ``sd_seed`` and ``sd_guidance_scale``.

    Raises:
        DataError: lists everything that is wrong; rows are named by their number, prompts are not repeated.
    """
    path = Path(path)
    log = ProblemLog(path)
    raw = load_rows(path, log)
    if "prompt" not in raw.columns:
        log.fail(Kind.MISSING_FIELD, f"column prompt is missing{suggest('prompt', raw.columns)}")
    prompts = [_read(number, row, log) for number, row in enumerate(raw.rows, start=1)]
    log.raise_if_errors()
    return prompts


def _read(number: int, row: RawRow, log: ProblemLog) -> Prompt:
    text = row.values.get("prompt")
    if not isinstance(text, str) or not text.strip():
        log.error(Kind.EMPTY_CAPTION, "has no prompt", row=row.number, field="prompt")
        text = ""
    seed = _read_number(row, "sd_seed", number, log)
    guidance = _read_number(row, "sd_guidance_scale", DEFAULT_GUIDANCE, log)
    return Prompt(number, text.strip(), _read_categories(row), int(seed), guidance)


def _read_categories(row: RawRow) -> tuple[str, ...]:
    named = str(row.values.get("categories") or "").split(",")
    known = dict.fromkeys(found for name in named if (found := normalise_tag(name)))
    return tuple(known) or (UNKNOWN,)


def _read_number(row: RawRow, field: str, default: float, log: ProblemLog) -> float:
    value = row.values.get(field)
    if value is None or value == "":
        return default
    try:
        return float(str(value))
    except ValueError:
        log.error(Kind.WRONG_TYPE, f"expected a number, got {str(value)[:40]!r}", row=row.number, field=field)
        return default
