"""Whatever a file holds: every row is an event or is rejected with a reason, and no row is both."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genre.component import build
from genre.data.readers import Reader, Tables
from genre.data.readers.delimited import BLOCK, ROW, delimited
from genre.data.readers.rejection import CONTENT_ROWS, ReadError, Rejections
from genre.data.readers.values import BLANK

SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and not "\x1c" <= c <= "\x1f")
"""White space as Unicode has it. Python strips four control characters as well, which may be part of an id."""
CELL = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8), st.sampled_from(["nan", "7", 'a"b', "x,y"])
)


def read(content: bytes, name: str, **settings: Any) -> Tables:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / name
        file.write_bytes(content)
        tables = build(Reader, {"use": "files", "events": str(file), "columns": {"user": "user", "item": "item"}, **settings}).read(
            Path(scratch)
        )
        return Tables(tables.events.collect().lazy(), rejected=tables.rejected)


@settings(max_examples=120, deadline=None)
@example([["0", "\x1f", ""]])
@given(st.lists(st.lists(CELL, min_size=1, max_size=5), min_size=1, max_size=12))
def test_csv_rows_in_are_rows_out_and_rejected(rows: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([["user", "item", "note"], *rows])
    good = [
        (row[0], row[1])
        for row in rows
        if len(row) == 3 and not any(cell.strip(SPACES) in BLANK or "\n" in cell or "\r" in cell for cell in row[:2])
    ]
    try:
        tables = read(buffer.getvalue().encode(), "e.csv")
    except ReadError as error:
        assert "rows were rejected" in str(error) and not good
        return
    assert tables.events.collect().select("user_id", "item_id").rows() == good
    assert len(tables.rejected) == len(rows) - len(good)
    assert tables.rejected["reason"].null_count() == 0
    kept = [number for number, row in enumerate(rows, 1) if number not in set(tables.rejected["row"])]
    assert [(rows[number - 1][0], rows[number - 1][1]) for number in kept] == good


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_words(content: bytes) -> None:
    for name in ("e.csv", "e.tsv", "e.jsonl"):
        try:
            tables = read(b'user,item\n{"user": 1, "item": 2}\na,b\n' + content, name, separator="," if name != "e.jsonl" else None)
        except ReadError as error:
            assert "e." in str(error)
        else:
            assert tables.rejected["reason"].null_count() == 0


JSON_CELL = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists)
JSON_LINE = st.one_of(
    st.dictionaries(st.sampled_from(["user", "item", "x"]), JSON_CELL).map(json.dumps),
    st.text(st.characters(exclude_characters="\n\r\x00", exclude_categories=["Cs"]), max_size=10),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(JSON_LINE, max_size=8))
def test_jsonl_lines_in_are_rows_out_and_rejected(lines: list[str]) -> None:
    lines = ['{"user": "u", "item": "i"}', *lines]
    tables = read("".join(f"{line}\n" for line in lines).encode(), "e.jsonl")
    assert tables.events.collect().height + len(tables.rejected) == len(lines)
    assert tables.rejected["row"].is_unique().all()


def test_row_numbers_hold_across_blocks(tmp_path: Path) -> None:
    file = tmp_path / "e.csv"
    rows = 3 * BLOCK // 20
    with file.open("w") as out:
        out.write("user,item\n")
        out.writelines(f"{number:012d},{number:06d}\n" if number % 7 else f"{number}\n" for number in range(1, rows + 1))
    rejections = Rejections()
    frame = pl.concat(delimited(file, rejections))
    assert frame[ROW].to_list() == [number for number in range(1, rows + 1) if number % 7]
    assert (frame["user"].cast(pl.Int64) == frame[ROW]).all()
    assert rejections.frame()["row"].to_list() == list(range(7, rows + 1, 7))


def test_all_rejections_are_counted_and_named_when_their_content_is_no_longer_kept() -> None:
    rejections = Rejections()
    for row in range(1, CONTENT_ROWS + 3):
        rejections.add(Path("e.csv"), row, "why", "c" * 600)
    rejections.add_rows(Path("f.csv"), pl.DataFrame({"row": [1, 2], "reason": ["x", "y"], "content": ["k", "l"]}))
    frame = rejections.frame()
    assert len(rejections) == len(frame) == CONTENT_ROWS + 4
    assert frame["content"].is_not_null().sum() == CONTENT_ROWS
    assert frame["content"].str.len_chars().max() == 500
    assert frame.tail(3).select("file", "row", "reason").rows() == [
        ("e.csv", CONTENT_ROWS + 2, "why"),
        ("f.csv", 1, "x"),
        ("f.csv", 2, "y"),
    ]
