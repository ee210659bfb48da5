from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

Row = dict[str, object]


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., str]:
    def draw(name: str, colour: str = "red", size: int = 8) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size), colour).save(path)
        return name

    return draw


@pytest.fixture
def rows(picture: Callable[..., str]) -> list[Row]:
    return [
        {
            "id": "a",
            "safe_caption": "a man holds a spoon, smiling",
            "unsafe_caption": "a man holds a knife",
            "safe_image": picture("safe/a.png"),
            "unsafe_image": picture("unsafe/a.jpg"),
            "category": "Weapons",
            "text_unsafe": True,
            "image_unsafe": None,
        },
        {
            "id": "b",
            "safe_caption": "a juice on a table",
            "unsafe_caption": "a beer on a table",
            "safe_image": picture("safe/b.png", "blue"),
            "unsafe_image": None,
            "category": "drug use",
            "text_unsafe": False,
            "image_unsafe": None,
        },
    ]


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


WRITERS: dict[str, Callable[[Path, Any], object]] = {
    ".jsonl": lambda path, rows: path.write_text("".join(json.dumps(row) + "\n" for row in rows)),
    ".json": lambda path, content: path.write_text(json.dumps(content)),
    ".csv": write_csv,
    ".parquet": lambda path, rows: parquet.write_table(pa.Table.from_pylist(rows), path),
}


@pytest.fixture
def write() -> Callable[[Path, object], Path]:
    """Write rows in the format of the suffix."""

    def write_file(path: Path, rows: object) -> Path:
        WRITERS[path.suffix](path, rows)
        return path

    return write_file
