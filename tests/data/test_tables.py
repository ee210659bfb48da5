from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from safer_clip.data import (
    QUADRUPLET_COLUMNS,
    ColumnMap,
    Kind,
    ReadOptions,
    ReadResult,
    quadruplet_features,
    read_table,
)
from safer_clip.errors import ConfigError, DataError

Row = dict[str, object]
Write = Callable[[Path, object], Path]
Place = tuple[Kind, int | None, str | None]


def fail(path: Path, **arguments: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(path, **arguments)  # type: ignore[arg-type]
    assert all(problem.file == str(path) for problem in caught.value.problems)
    return caught.value


def places(error: DataError) -> list[Place]:
    return [(p.kind, p.row, p.field) for p in error.problems if p.severity == "error"]


def warnings(result: ReadResult) -> list[Place]:
    return [(p.kind, p.row, p.field) for p in result.report.warnings]


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv", "t.parquet"])
@pytest.mark.parametrize("check", ["exists", "header", "decode"])
def test_good(tmp_path: Path, rows: list[Row], name: str, check: str, write: Write) -> None:
    path = write(tmp_path / name, rows)
    result = read_table(path, options=ReadOptions(check_images=check))  # type: ignore[arg-type]
    table, report = result.table, result.report
    assert table.column_names == list(QUADRUPLET_COLUMNS)
    assert table.features == quadruplet_features()
    assert table["id"][:] == ["a", "b"]
    assert table["category"][:] == ["violence", "illegal activity"]
    assert table["tag"][:] == ["Weapons", "drug use"]
    assert table["text_unsafe"][:] == [True, False]
    assert table["image_unsafe"][:] == [None, None]
    assert table[0]["safe_caption"] == "a man holds a spoon, smiling"
    assert table[0]["safe_image"].size == (8, 8)
    assert table[1]["unsafe_image"] is None
    assert (report.files, report.rows_read, report.rows_kept, report.rows_dropped) == ((str(path),), 2, 2, 0)
    assert (report.safe_images_absent, report.unsafe_images_absent) == (0, 1)
    assert report.warnings == report.dropped == ()
    assert report.summary().splitlines() == [
        f"Kept 2 of 2 rows from {path}.",
        "Without a safe image: 0.",
        "Without an unsafe image: 1.",
    ]


def test_text_only_needs_captions_only(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "t.jsonl", [{"safe_caption": "a spoon", "unsafe_caption": "a knife"}])
    result = read_table(path)
    assert result.table[0]["id"] == "1"
    assert result.table[0]["category"] == "unknown"
    assert result.table[0]["tag"] is None
    assert (result.report.safe_images_absent, result.report.unsafe_images_absent) == (1, 1)
    assert result.report.warnings == ()


def test_parquet_with_embedded_pictures(tmp_path: Path, rows: list[Row], picture: Callable[..., str], write: Write) -> None:
    data = (tmp_path / picture("x.png", "green", 9)).read_bytes()
    rows[0]["safe_image"] = {"bytes": data, "path": "t.parquet"}
    rows[1]["safe_image"] = {"bytes": None, "path": "safe/b.png"}
    rows[0]["unsafe_image"] = data
    path = write(tmp_path / "t.parquet", rows)
    table = read_table(path, options=ReadOptions(check_images="decode")).table
    assert table[0]["safe_image"].size == table[0]["unsafe_image"].size == (9, 9)
    assert table[1]["safe_image"].size == (8, 8)


def test_struct_without_content_is_absent(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows[0]["safe_image"] = {"bytes": None, "path": None}
    rows[1]["safe_image"] = {"bytes": None, "path": "safe/b.png"}
    assert read_table(write(tmp_path / "t.parquet", rows)).report.safe_images_absent == 1


def test_image_root_and_columns(tmp_path: Path, rows: list[Row], write: Write) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    renamed = [{"text": row.pop("safe_caption"), "photo": row.pop("safe_image"), **row} for row in rows]
    path = write(folder / "t.json", renamed)
    columns = ColumnMap(safe_caption="text", safe_image="photo")
    assert read_table(path, image_root=tmp_path, columns=columns).report.rows_kept == 2
    assert (Kind.MISSING_IMAGE, 1, "photo") in places(fail(path, columns=columns))


def test_missing_columns(tmp_path: Path, rows: list[Row], write: Write) -> None:
    for row in rows:
        row["safe_captoin"] = row.pop("safe_caption")
        row["unsafe_images"] = row.pop("unsafe_image")
        del row["unsafe_caption"], row["safe_image"]
    error = fail(write(tmp_path / "t.jsonl", rows), columns=ColumnMap(safe_image="photo"))
    assert places(error) == [
        (Kind.MISSING_FIELD, None, "safe_caption"),
        (Kind.MISSING_FIELD, None, "unsafe_caption"),
        (Kind.MISSING_FIELD, None, "photo"),
    ]
    assert "did you mean 'safe_captoin'?" in str(error)
    assert "did you mean 'unsafe_images'?" in str(error)
    assert "the columns are id, category" in str(error)


BAD_VALUES: list[tuple[str, object, Kind]] = [
    ("safe_caption", "  ", Kind.EMPTY_CAPTION),
    ("unsafe_caption", None, Kind.EMPTY_CAPTION),
    ("unsafe_caption", 7, Kind.WRONG_TYPE),
    ("unsafe_caption", "half \ud800", Kind.WRONG_TYPE),
    ("id", "a", Kind.DUPLICATE_ID),
    ("id", None, Kind.MISSING_FIELD),
    ("id", True, Kind.WRONG_TYPE),
    ("id", 1.5, Kind.WRONG_TYPE),
    ("safe_image", "safe/none.png", Kind.MISSING_IMAGE),
    ("unsafe_image", "no" * 300, Kind.UNREADABLE_IMAGE),
    ("unsafe_image", "t.jsonl", Kind.UNREADABLE_IMAGE),
    ("unsafe_image", ["x.png"], Kind.WRONG_TYPE),
    ("unsafe_image", {"bytes": None}, Kind.WRONG_TYPE),
    ("category", 3, Kind.WRONG_TYPE),
    ("text_unsafe", "maybe", Kind.WRONG_TYPE),
    ("image_unsafe", 0.5, Kind.WRONG_TYPE),
]


@pytest.mark.parametrize(("column", "value", "kind"), BAD_VALUES)
def test_bad_value(tmp_path: Path, rows: list[Row], column: str, value: object, kind: Kind, write: Write) -> None:
    rows[1][column] = value
    path = write(tmp_path / "t.jsonl", rows)
    assert places(fail(path)) == [(kind, 2, column)]
    result = read_table(path, options=ReadOptions(max_bad_rows=1))
    assert result.table["id"][:] == ["a"]
    assert (result.report.rows_read, result.report.rows_dropped) == (2, 1)
    assert "Dropped 1 bad row:" in result.report.summary()
    assert f"line 2, {column}" in result.report.summary()


def test_good_odd_values(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows[0] |= {"id": 12, "text_unsafe": 1, "image_unsafe": "No", "safe_image": str(tmp_path / "safe/a.png")}
    rows[1] |= {"safe_image": " ", "text_unsafe": ""}
    table = read_table(write(tmp_path / "t.jsonl", rows)).table
    assert table["id"][:] == ["12", "b"]
    assert table["text_unsafe"][:] == [True, None]
    assert table["image_unsafe"][:] == [False, None]
    assert table[1]["safe_image"] is None


def test_missing_cell(tmp_path: Path, rows: list[Row], write: Write) -> None:
    del rows[1]["safe_caption"]
    assert places(fail(write(tmp_path / "t.jsonl", rows))) == [(Kind.MISSING_FIELD, 2, "safe_caption")]


def test_truncated_jpeg_needs_decoding(tmp_path: Path, rows: list[Row], picture: Callable[..., str], write: Write) -> None:
    path = tmp_path / picture("unsafe/a.jpg", size=200)
    path.write_bytes(path.read_bytes()[:-400])
    table = write(tmp_path / "t.jsonl", rows)
    assert read_table(table).report.rows_kept == 2
    error = fail(table, options=ReadOptions(check_images="decode"))
    assert places(error) == [(Kind.UNREADABLE_IMAGE, 1, "unsafe_image")]
    path.write_bytes(path.read_bytes()[:10])
    assert places(fail(table)) == [(Kind.UNREADABLE_IMAGE, 1, "unsafe_image")]
    assert read_table(table, options=ReadOptions(check_images="exists")).report.rows_kept == 2


def test_broken_embedded_picture(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows[0]["safe_image"] = {"bytes": b"no picture", "path": None}
    rows[1]["safe_image"] = None
    error = fail(write(tmp_path / "t.parquet", rows))
    assert places(error) == [(Kind.UNREADABLE_IMAGE, 1, "safe_image")]
    assert "embedded picture" in str(error)


def test_duplicate_rows(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows.append({**rows[0], "id": "c"})
    path = write(tmp_path / "t.jsonl", rows)
    assert places(fail(path)) == [(Kind.DUPLICATE_ROW, 3, "safe_caption")]
    result = read_table(path, options=ReadOptions(max_bad_rows=1))
    assert result.table["id"][:] == ["a", "b"]
    assert warnings(result) == []


def test_duplicate_embedded_pictures(tmp_path: Path, rows: list[Row], write: Write) -> None:
    data = (tmp_path / "safe/a.png").read_bytes()
    for row, name in zip(rows, "ab", strict=True):
        row |= {"safe_caption": "a spoon", "unsafe_caption": "a knife", "unsafe_image": None}
        row["safe_image"] = {"bytes": data, "path": name}
    assert places(fail(write(tmp_path / "t.parquet", rows))) == [(Kind.DUPLICATE_ROW, 2, "safe_caption")]


def test_repeated_captions_warn_once(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows += [{**rows[0], "id": str(i), "unsafe_caption": f"a man holds {i} knives"} for i in range(2, 5)]
    result = read_table(write(tmp_path / "t.jsonl", rows))
    assert warnings(result) == [(Kind.REPEATED_CAPTION, 3, "safe_caption")]
    assert "rows: 3" in result.report.summary()
    assert result.report.rows_kept == 5


def test_unknown_tags_warn(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows[0]["category"] = "gardening"
    rows[1]["category"] = None
    result = read_table(write(tmp_path / "t.jsonl", rows))
    assert warnings(result) == [(Kind.UNKNOWN_TAG, 1, "category"), (Kind.UNKNOWN_TAG, 2, "category")]
    assert result.table["category"][:] == ["unknown", "unknown"]
    assert result.table["tag"][:] == ["gardening", None]


def test_tag_column(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows[0] |= {"category": "unknown", "tag": "skulls"}
    rows[1] |= {"category": "unknown", "tag": "theft"}
    result = read_table(write(tmp_path / "t.jsonl", rows))
    assert result.table["category"][:] == ["unknown", "illegal activity"]
    assert result.table["tag"][:] == ["skulls", "theft"]
    for row in rows:
        del row["category"]
    rows[1]["tag"] = "unknown"
    result = read_table(write(tmp_path / "t.jsonl", rows))
    assert warnings(result) == [(Kind.UNKNOWN_TAG, 1, "tag")]


def test_miniature_taxonomy(tmp_path: Path, rows: list[Row], write: Write) -> None:
    rows[1]["category"] = "substances"
    path = write(tmp_path / "t.jsonl", rows)
    table = read_table(path, options=ReadOptions(taxonomy="miniature")).table
    assert table["category"][:] == ["weapons", "substances"]


def test_everything_at_once(tmp_path: Path, rows: list[Row], write: Write) -> None:
    good = [{**rows[1], "id": i, "unsafe_caption": f"{i} beers"} for i in range(3)]
    bad: list[Row] = [
        {**rows[0], "safe_caption": "", "unsafe_image": "none.jpg"},
        {**rows[0], "id": 0, "text_unsafe": "perhaps", "category": "gardening"},
    ]
    path = write(tmp_path / "t.jsonl", [*good, *bad])
    path.write_text(path.read_text() + "\n{broken\n[1]\n")
    error = fail(path)
    expected: list[Place] = [
        (Kind.EMPTY_CAPTION, 4, "safe_caption"),
        (Kind.MISSING_IMAGE, 4, "unsafe_image"),
        (Kind.WRONG_TYPE, 5, "text_unsafe"),
        (Kind.DUPLICATE_ID, 5, "id"),
        (Kind.BROKEN_ROW, 7, None),
        (Kind.WRONG_TYPE, 8, None),
    ]
    assert places(error) == expected
    assert any(p.kind == Kind.UNKNOWN_TAG and p.row == 5 for p in error.problems)
    assert len(places(fail(path, options=ReadOptions(max_bad_rows=3)))) == 6
    report = read_table(path, options=ReadOptions(max_bad_rows=4)).report
    assert (report.rows_read, report.rows_kept, len(report.dropped)) == (7, 3, 6)


def test_no_good_row_left(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("{\n{\n")
    error = fail(tmp_path / "t.jsonl", options=ReadOptions(max_bad_rows=5))
    assert places(error)[0] == (Kind.EMPTY_FILE, None, None)
    assert len(error.problems) == 3


def test_missing_image_root_is_one_problem(tmp_path: Path, rows: list[Row], write: Write) -> None:
    error = fail(write(tmp_path / "t.jsonl", rows), image_root=tmp_path / "nowhere")
    assert places(error) == [(Kind.FILE_NOT_FOUND, None, "safe_image"), (Kind.FILE_NOT_FOUND, None, "unsafe_image")]


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert places(fail(tmp_path / name)) == [(Kind.EMPTY_FILE, None, None)]


def test_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,safe_caption\n\n")
    assert places(fail(tmp_path / "t.csv")) == [(Kind.EMPTY_FILE, None, None)]
    parquet.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "t.parquet")
    assert places(fail(tmp_path / "t.parquet")) == [(Kind.EMPTY_FILE, None, None)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", b"[{"),
        ("t.json", b'"text"'),
        ("t.json", b'{"a": {}}'),
        ("t.json", b"\xff\xfe\xff"),
        ("t.json", b"[" * 100_000),
        ("t.csv", b"caf\xe9,b\n1,2\n"),
        ("t.csv", b"a,b,a\n1,2,3\n"),
        ("t.parquet", b"PAR1 but no more"),
    ],
)
def test_broken_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert places(fail(tmp_path / name)) == [(Kind.BROKEN_FILE, None, None)]


def test_csv_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('safe_caption,unsafe_caption\n"a spoon\non a table",a knife\n\n,a beer\na,b,c\n')
    assert places(fail(path)) == [(Kind.EMPTY_CAPTION, 5, "safe_caption"), (Kind.BROKEN_ROW, 6, None)]


def test_csv_with_an_open_quote(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('safe_caption,unsafe_caption\na spoon,a knife\n"a cup,a beer\na,b\n')
    assert places(fail(path, options=ReadOptions(max_bad_rows=9))) == [(Kind.BROKEN_FILE, 3, None)]


def test_file_not_found(tmp_path: Path) -> None:
    (tmp_path / "table.jsonl").touch()
    error = fail(tmp_path / "tabel.jsonl")
    assert places(error) == [(Kind.FILE_NOT_FOUND, None, None)]
    assert "did you mean 'table.jsonl'?" in str(error)
    assert "is a folder" in str(fail(tmp_path))
    fail(tmp_path / "no" / "table.jsonl")


@pytest.mark.parametrize("name", ["t.xlsx", "t"])
def test_unsupported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert places(fail(tmp_path / name)) == [(Kind.UNSUPPORTED, None, None)]


@pytest.mark.parametrize("setting", [{"check_images": "all"}, {"max_bad_rows": -1}, {"taxonomy": "mine"}])
def test_options_are_checked(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(setting.values())))):
        ReadOptions(**setting)  # type: ignore[arg-type]


def test_empty_embedded_picture(tmp_path: Path, write: Write) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    row = {"safe_caption": "a", "unsafe_caption": "b", "safe_image": buffer.getvalue(), "unsafe_image": b""}
    error = fail(write(tmp_path / "t.parquet", [row]))
    assert places(error) == [(Kind.UNREADABLE_IMAGE, 1, "unsafe_image")]


def test_byte_order_mark(tmp_path: Path) -> None:
    row = json.dumps({"safe_caption": "a spoon", "unsafe_caption": "a knife"})
    for name, text in (("t.jsonl", row), ("t.json", f"[{row}]")):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert read_table(tmp_path / name).report.rows_kept == 1
