"""What is wrong with a file as a whole is said in a sentence that a person can act on."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from genre.component import build
from genre.data.readers import Reader
from genre.data.readers.rejection import ReadError


def failure(file: Path, content: bytes | None, items: Path | None = None) -> str:
    if content is not None:
        file.write_bytes(content)
    settings = {"use": "files", "events": str(file), "columns": {"user": "user", "item": "item"}}
    with pytest.raises(ReadError) as raised:
        build(Reader, settings if items is None else {**settings, "items": str(items)}).read(file.parent / "scratch")
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("e.csv", b"", "the file is empty"),
        ("e.csv", b"\n \n", "the file is empty"),
        ("e.jsonl", b"", "the file is empty"),
        ("e.parquet", b"", "the file is empty"),
        ("e.csv", b"user,item\n", "there are columns but no rows"),
        ("e.csv", b"user,item", "there are columns but no rows"),
        ("e.csv", b"usr,item,x\na,b,c\n", "there is no column 'user'; did you mean 'usr'? Its columns: 'usr', 'item', 'x'"),
        ("e.csv", b"a,b\n1,2\n", "there is no column 'user', 'item'. Its columns: 'a', 'b'"),
        ("e.jsonl", b'{"User": 1, "item": 2}\n', "there is no column 'user'; did you mean 'User'?"),
        ("e.csv", b"user,item,user\na,b,c\n", "the header names 'user' more than once; give every column its own name"),
        ("e.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "this is a PNG image"),
        ("e.csv", b"PK\x03\x04\x14\x00", "an Excel workbook: save the sheet as CSV (UTF-8)"),
        ("e.csv", b"PAR1\x15\x00", "this is a Parquet file: let its name end in .parquet"),
        ("e.csv", b"\x1f\x8b\x08", "this is gzipped: let its name end in .gz"),
        ("e.csv", b"user,item\n" + bytes(range(256)) * 4, "this is a binary file, not text"),
        ("e.csv", "user,item\na,b\n".encode("utf-16"), "this is text in UTF-16: save it as UTF-8"),
        ("e.csv", "user,item\na,b\n".encode("utf-16-le"), "this is binary, or text in UTF-16: save it as UTF-8"),
        ("e.csv", b'{"user": 1, "item": 2}\n', "this looks like JSON lines; let its name end in .jsonl"),
        ("e.jsonl", b'[{"user": 1, "item": 2}]', "this is a JSON array; write one object a line"),
        ("e.jsonl", b"user,item\na,b\n", "all 2 rows were rejected: 2 x not JSON. Row 1 is 'user,item'"),
        ("e.parquet", b"user,item\na,b\n", "this is no Parquet file"),
        ("e.csv", b"user,item\n,b\nnan,c\nx,\n", "all 3 rows were rejected: 2 x user (the user) is blank; 1 x item (the item)"),
        ("e.csv.gz", b"user,item\na,b\n", "the gzip archive is broken"),
        ("e.csv.gz", gzip.compress(b"user,item\na,b\n" * 1000, mtime=0)[:-20], "the gzip archive is broken"),
        ("e.csv", b'user,item\nx,y\n"a,b\n' + b"c,d\n" * 2_000, "row 2 goes on over more than 1,000 lines: a double quote that"),
        ("e.csv", b'user,item\n"a,b\n' + b"c,d\n" * 3_000_000, "from row 1 on, more than 4 MB seem to be one line: a double quote"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    file = tmp_path / name
    message = failure(file, content)
    assert message.startswith(f"{file}: ")
    assert sentence in message


def test_file_that_went_away_after_the_configuration_was_read(tmp_path: Path) -> None:
    file = tmp_path / "e.csv"
    file.write_text("user,item\na,b\n")
    reader = build(Reader, {"use": "files", "events": str(file), "columns": {"user": "user", "item": "item"}})
    file.unlink()
    with pytest.raises(ReadError, match=r"e\.csv: no such file"):
        reader.read(tmp_path / "scratch")


def test_folder_with_nothing_to_read(tmp_path: Path) -> None:
    folder = tmp_path / "events.csv"
    folder.mkdir()
    (folder / "readme.md").touch()
    assert f"{folder} is a folder without a readable file in it" in failure(folder, None)
    (folder / "a.csv").write_text("user,item\na,b\n")
    (folder / "b.jsonl").write_text("{}")
    assert "mixes delimited, jsonl files" in failure(folder, None)


def test_list_column_cannot_be_an_id(tmp_path: Path) -> None:
    file = tmp_path / "e.parquet"
    pl.DataFrame({"user": [["a"], ["b"]], "item": [1, 2]}).write_parquet(file)
    assert "the column 'user' holds large_list" in failure(file, None)


def test_wrong_items_are_told_before_the_events_are_read(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("sku,title\nx,X\n")
    assert f"{items}: there is no column 'item'" in failure(tmp_path / "e.csv", b"user,item\n,\n", items)


def test_two_columns_for_the_item_id(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,item_id\nx,1\n")
    assert "there is also a column 'item_id'" in failure(tmp_path / "e.csv", b"user,item\na,x\n", tmp_path / "items.csv")


def test_parquet_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "e.parquet"
    pl.DataFrame({"user": ["a"] * 1000, "item": ["b"] * 1000}).write_parquet(file)
    assert "this is no Parquet file" in failure(file, file.read_bytes()[:-10])
