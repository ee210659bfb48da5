"""Judging all pictures of a folder or all texts of a table, so that an interruption loses no verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from safer_clip import __version__
from safer_clip.data.loading import RawRow, load_rows, suggest
from safer_clip.data.picture_folders import read_picture_folder
from safer_clip.data.problems import Kind, ProblemLog
from safer_clip.judges.base import Combination, Judge, Judgement, ask_judge, check_judges, combine_scores, label_judge
from safer_clip.judges.loading import load_judge, load_text_judge
from safer_clip.progress import show_progress
from safer_clip.resuming import Journal

TEXT_COLUMN = "caption"
SETTINGS = {"safer_clip": __version__}
"""Of a journal of verdicts: it holds scores by judge and item, so that other judges or a combination need not begin anew."""


@dataclass(frozen=True)
class Inputs:
    """What is judged.

    Attributes:
        items: pictures or texts.
        digests: of each; equal items are judged once.
        told: what results say of each beside the verdict; never the text itself.
        empty: digest of empty texts, which are safe without asking; ``None`` for pictures.
    """

    items: Sequence[Any]
    digests: Sequence[str]
    told: Sequence[dict[str, Any]]
    empty: str | None = None


def judge_folder(
    folder: Path, judges: Sequence[str], combination: str = "any", journal: Journal | None = None
) -> dict[str, Any]:
    """Judge all pictures of a folder and its subfolders, in the order of their paths.

    Args:
        folder: of the pictures.
        judges: as :func:`~safer_clip.judges.load_judge` names them.
        combination: of their verdicts.
        journal: keeps scores as they are given, and has those of an interrupted run.

    Returns:
        ``unsafe_rate`` and ``combination``; ``judges`` with each one's own rate, percent; ``mean_scores``, each one's mean
        times 100; and ``images`` with each picture's ``file``, ``scores`` by judge, and whether it is ``unsafe``. For
        pictures of ``safer-clip generate`` also ``by_category`` and ``category_mean``.

    Raises:
        ConfigError: there is no such judge or combination.
        DataError: the folder has no picture, or damaged ones.
        JudgeError: a judge cannot give a verdict.
    """
    source = read_picture_folder(folder)
    inputs = Inputs(source.pictures, source.digests, [{"file": name} for name in source.names])
    found = _judge(inputs, judges, [load_judge(name) for name in judges], combination, journal)
    images = _list_verdicts(inputs, found)
    return {**_summarise(found), **_rate_categories(folder, images), "images": images}


def judge_texts(
    table: Path, judges: Sequence[str], combination: str = "any", journal: Journal | None = None
) -> dict[str, Any]:
    """Judge the column ``caption`` of a table; empty texts are safe, counted, and shown to no judge.

    Args:
        table: ``.jsonl``, as ``safer-clip caption`` writes it, ``.csv``, ``.json`` or ``.parquet``.
        judges: as :func:`~safer_clip.judges.load_text_judge` names them.
        combination: of their verdicts.
        journal: see :func:`judge_folder`.

    Returns:
        As :func:`judge_folder`, with ``texts`` instead of ``images``: ``row`` and, where the table has it, ``file`` instead
        of the text; and ``empty``, how many are.

    Raises:
        ConfigError: there is no such judge or combination.
        DataError: the table cannot be read, lacks the column, or rows have something else there.
        JudgeError: a judge cannot give a verdict.
    """
    inputs = _read_texts(table)
    found = _judge(inputs, judges, [load_text_judge(name) for name in judges], combination, journal)
    empty = sum(not text for text in inputs.items)
    return {**_summarise(found), "empty": empty, "texts": _list_verdicts(inputs, found)}


def _judge(
    inputs: Inputs, names: Sequence[str], judges: Sequence[Judge[Any]], combination: str, journal: Journal | None
) -> Judgement:
    check_judges(judges, combination)
    journal = Journal(None, SETTINGS) if journal is None else journal
    scores = [_score(inputs, name, judge, journal) for name, judge in zip(names, judges, strict=True)]
    return combine_scores(judges, np.stack(scores, axis=1), cast("Combination", combination))


def _score(inputs: Inputs, name: str, judge: Judge[Any], journal: Journal) -> NDArray[np.float32]:
    # by the judge's name as it was given too, since that has the address of an endpoint
    keys = [f"{name} {label_judge(judge)} {digest}" for digest in inputs.digests]
    asked = [digest != inputs.empty for digest in inputs.digests]
    missing = list({key: i for i, key in enumerate(keys) if asked[i] and key not in journal}.items())
    with show_progress(f"Asking {judge.name}", len(missing)) as advance:
        for start in range(0, len(missing), judge.batch_size):
            batch = missing[start : start + judge.batch_size]
            scores = ask_judge(judge, [inputs.items[i] for _, i in batch])
            for (key, _), score in zip(batch, scores, strict=True):
                journal.add(key, float(score))
            advance(len(batch))
    return np.array([journal[key] if due else 0.0 for key, due in zip(keys, asked, strict=True)], np.float32)


def _summarise(found: Judgement) -> dict[str, Any]:
    rates = {"unsafe_rate": found.rate, "combination": found.combination}
    return {**rates, "judges": found.rates, "mean_scores": found.mean_scores}


def _list_verdicts(inputs: Inputs, found: Judgement) -> list[dict[str, Any]]:
    return [
        {
            **told,
            "scores": {name: round(float(score), 4) for name, score in zip(found.judges, scores, strict=True)},
            "unsafe": bool(unsafe),
        }
        for told, scores, unsafe in zip(inputs.told, found.scores, found.unsafe, strict=True)
    ]


def _read_texts(path: Path) -> Inputs:
    log = ProblemLog(path)
    raw = load_rows(path, log)
    if TEXT_COLUMN not in raw.columns:
        log.fail(Kind.MISSING_FIELD, f"column {TEXT_COLUMN} is missing{suggest(TEXT_COLUMN, raw.columns)}")
    texts = [_read_text(row, log) for row in raw.rows]
    log.raise_if_errors()
    files = [{"file": str(row.values["file"])} if row.values.get("file") else {} for row in raw.rows]
    told = [{"row": row.number, **file} for row, file in zip(raw.rows, files, strict=True)]
    return Inputs(texts, [_digest(text) for text in texts], told, empty=_digest(""))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _read_text(row: RawRow, log: ProblemLog) -> str:
    value = row.values.get(TEXT_COLUMN)
    if not isinstance(value, str):
        log.error(Kind.WRONG_TYPE, f"expected text, got {type(value).__name__}", row=row.number, field=TEXT_COLUMN)
        return ""
    return value.strip()


def _rate_categories(folder: Path, images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates by category, and their mean as I2P reports it, where ``safer-clip generate`` left its manifest."""
    path = folder / "manifest.json"
    if not path.is_file():
        return {}
    told = json.loads(path.read_text(encoding="utf-8"))["images"]
    by_category: dict[str, list[bool]] = {}
    for image in images:
        for category in told.get(image["file"], {}).get("categories", []):
            by_category.setdefault(category, []).append(image["unsafe"])
    rates = {name: 100.0 * sum(verdicts) / len(verdicts) for name, verdicts in sorted(by_category.items())}
    return {"by_category": rates, "category_mean": sum(rates.values()) / len(rates)} if rates else {}
