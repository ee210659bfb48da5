from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

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


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
