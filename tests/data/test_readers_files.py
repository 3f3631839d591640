from __future__ import annotations

import datetime
import gzip
import json
import logging
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import polars as pl
import pytest
from pydantic import BaseModel, SerializeAsAny, ValidationError

from genre.component import Chosen, build
from genre.data.readers import Reader, Tables
from genre.data.readers.files import FilesReader
from genre.testing import check_reader

CSV = "user,item,time,event,value,visit\n007,0110912,1577836800,rate,4.5,v1\nbob,b,2020-01-02,,,\n007,b,1577836801,view,1,v1\n"


def reader(tmp_path: Path, content: str | bytes, name: str = "events.csv", **settings: Any) -> FilesReader:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings.setdefault("columns", {"user": "user", "item": "item"})
    made = build(Reader, {"use": "files", "events": str(file), **settings})
    assert isinstance(made, FilesReader)
    return made


def read(tmp_path: Path, content: str | bytes, name: str = "events.csv", **settings: Any) -> Tables:
    return reader(tmp_path, content, name, **settings).read(tmp_path / "scratch")


ALL_ROLES = {"user": "user", "item": "item", "time": "time", "event": "event", "value": "value", "session": "visit"}


def test_all_roles_of_a_csv(tmp_path: Path) -> None:
    made = reader(tmp_path, CSV, columns=ALL_ROLES, event_type="open")
    check_reader(made)
    tables = made.read(tmp_path / "scratch")
    assert tables.events.collect().rows() == [
        ("007", "0110912", 1577836800.0, "rate", 4.5, "v1"),
        ("bob", "b", 1577923200.0, "open", None, None),
        ("007", "b", 1577836801.0, "view", 1.0, "v1"),
    ]
    assert len(tables.rejected) == 0
    assert list(made.sources()) == [tmp_path / "events.csv"]


@pytest.mark.parametrize(("name", "separator"), [("e.tsv", "\t"), ("e.csv", ";"), ("e.txt", "|"), ("e.csv", ",")])
def test_separator_is_seen_from_the_header(tmp_path: Path, name: str, separator: str) -> None:
    tables = read(tmp_path, CSV.replace(",", separator), name, columns=ALL_ROLES)
    assert tables.events.select("item_id").collect()["item_id"].to_list() == ["0110912", "b", "b"]


def test_gzip_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    tables = read(tmp_path, gzip.compress(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()), "events.csv.gz", columns=ALL_ROLES)
    assert tables.events.collect().height == 3
    assert tables.events.collect()["session_id"].to_list() == ["v1", None, "v1"]


def test_jsonl_and_parquet_give_the_same_as_csv(tmp_path: Path) -> None:
    csv = read(tmp_path, CSV, columns=ALL_ROLES).events.collect()
    rows = [
        {"user": "007", "item": "0110912", "time": 1577836800, "event": "rate", "value": 4.5, "visit": "v1"},
        {"user": "bob", "item": "b", "time": "2020-01-02"},
        {"item": "b", "user": "007", "time": 1577836801.0, "event": "view", "value": 1, "visit": "v1"},
    ]
    for name, packed in (("e.jsonl", False), ("e.ndjson.gz", True)):
        lines = "\n".join(map(json.dumps, rows)).encode()
        assert read(tmp_path, gzip.compress(lines) if packed else lines, name, columns=ALL_ROLES).events.collect().equals(csv)
    times = [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 1, 0, 0, 1)]
    frame = pl.DataFrame(
        {
            "user": ["007", "bob", "007"], "item": ["0110912", "b", "b"], "time": times, "event": ["rate", None, "view"],
            "value": [4.5, float("nan"), 1.0], "visit": ["v1", None, "v1"],
        }
    )  # fmt: skip
    folder = tmp_path / "parts.parquet"
    folder.mkdir()
    frame.head(2).write_parquet(folder / "part-0.parquet")
    frame.tail(1).write_parquet(folder / "part-1.parquet")
    (folder / "_SUCCESS").touch()
    made = build(Reader, {"use": "files", "events": str(folder), "columns": ALL_ROLES})
    assert made.read(tmp_path / "scratch").events.collect().equals(csv)


def test_integer_and_promoted_float_ids_of_parquet_are_exact_text(tmp_path: Path) -> None:
    pl.DataFrame({"user": [1, 2, 9007199254740993], "item": [12.0, float("nan"), 7.0]}).write_parquet(tmp_path / "e.parquet")
    made = build(Reader, {"use": "files", "events": str(tmp_path / "e.parquet"), "columns": {"user": "user", "item": "item"}})
    tables = made.read(tmp_path / "scratch")
    assert tables.events.collect().select("user_id", "item_id").rows() == [("1", "12"), ("9007199254740993", "7")]
    assert tables.rejected.select("row", "reason").rows() == [(2, "item (the item) is blank")]


def test_every_bad_row_of_a_csv_is_named(tmp_path: Path) -> None:
    lines = b"a,x,1,1 b,x ,x,1,1 c,nan,1,1 d,x,soon,1 e,x,1,many f\xff,x,1,1  g,x,1,1,extra h\xff i,x,1,".split(b" ")
    content = b"user,item,time,value\n" + b"\n".join(lines)
    tables = read(tmp_path, content, columns={"user": "user", "item": "item", "time": "time", "value": "value"})
    assert tables.events.collect()["user_id"].to_list() == ["a", "i"]
    assert tables.rejected.sort("row").select("row", "reason").rows() == [
        (2, "2 fields where the header has 4"),
        (3, "user (the user) is blank"),
        (4, "item (the item) is blank"),
        (5, "time (the time) is blank or neither unix seconds nor an ISO date: set data.reader.time_format, such as '%d.%m.%Y %H:%M'"),
        (6, "value (the value) is not a number"),
        (7, "bytes that are not UTF-8: save the file as UTF-8"),
        (8, "blank line"),
        (9, "5 fields where the header has 4"),
        (10, "1 fields where the header has 4"),
    ]
    assert tables.rejected["file"].unique().to_list() == [str(tmp_path / "events.csv")]
    assert '"time":"soon"' in tables.rejected.filter(pl.col("row") == 5)["content"][0]


def test_every_bad_line_of_a_jsonl_is_named(tmp_path: Path) -> None:
    lines = [
        b'{"user": "a", "item": "x"}', b'{"user": "b", "item": ', b"[1]", b"", b'{"user": null, "item": "x"}', b'{"user": "c"}',
        b'{"user": ["d"], "item": "x"}', b'{"user": "e\xff", "item": "x"}', b'{"user": "\\ud800", "item": "x"}',
        b'{"user": NaN, "item": "x"}',
        b'{"user": 12.0, "item": true}', b"[" * 100_000,
    ]  # fmt: skip
    tables = read(tmp_path, b"\n".join(lines), "e.jsonl")
    assert tables.events.collect().select("user_id", "item_id").rows() == [("a", "x"), ("12", "true")]
    assert tables.rejected.sort("row").select("row", "reason").rows() == [
        (2, "not JSON"),
        (3, "JSON, but not an object"),
        (4, "blank line"),
        (5, "user (the user) is blank"),
        (6, "item (the item) is blank"),
        (7, "user holds a list or an object, not text or a number"),
        (8, "bytes that are not UTF-8: save the file as UTF-8"),
        (9, "half a surrogate pair: not valid Unicode"),
        (10, "user (the user) is blank"),
        (12, "not JSON"),
    ]
    assert tables.rejected["content"].str.len_chars().max() == 500


def test_quoted_fields_may_hold_anything(tmp_path: Path) -> None:
    tables = read(tmp_path, 'user,item,note\na,"x,1","said ""no""\nand left"\nb,y,z\n\nc\n')
    assert tables.events.collect()["item_id"].to_list() == ["x,1", "y"]
    assert tables.rejected["row"].to_list() == [3, 4]


def test_a_quote_that_never_closes_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tables = read(tmp_path, 'user,item\na,x\nb,"y\nc,z\n')
    assert tables.rejected["reason"].to_list() == ["item (the item) holds a line break or a NUL: a quote that never closes?"]
    assert "an odd number of double quotes" in caplog.text
    again = read(tmp_path, 'user,item\na,x\nb,"y\nc,z\n', quotes=False)
    assert again.events.collect()["item_id"].to_list() == ["x", '"y', "z"]


def test_where_only_the_order_is_known_rows_come_sorted_without_a_time(tmp_path: Path) -> None:
    tables = read(tmp_path, "user,item,n\nb,x,10\na,y,10\na,z,9\nb,w,2\nb,v,first\n", order="n")
    assert tables.events.collect().select("user_id", "item_id", "time").rows() == [
        ("a", "z", None), ("a", "y", None), ("b", "w", None), ("b", "x", None),
    ]  # fmt: skip
    assert tables.rejected["reason"].to_list() == ["n (the order) is not a number"]


def test_what_the_times_are_taken_for_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read(tmp_path, "user,item,t\na,x,1577836800000\n", columns={"user": "user", "item": "item", "time": "t"})
    assert "t is taken for milliseconds" in caplog.text


def test_items_keep_their_columns_and_the_first_row_of_an_id(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(
        "sku,title,price,year,zip,none\nx,First,1.50,1999,01234,\ny,1984,,2001,99999,\nx,Second,2,2002,5,\n,Nobody,3,2003,6,\n"
    )
    (tmp_path / "users.csv").write_text("user,age\na,30\nb,\n")
    made = reader(
        tmp_path, "user,item\na,x\nb,missing\n", items=str(tmp_path / "items.csv"), users=str(tmp_path / "users.csv"), item_id="sku"
    )  # fmt: skip
    check_reader(made)
    tables = made.read(tmp_path / "scratch")
    assert tables.items is not None and tables.users is not None
    items = tables.items.collect()
    assert items.rows() == [("x", "First", 1.5, 1999, "01234", None), ("y", "1984", None, 2001, "99999", None)]
    assert items.schema["price"] == pl.Float64 and items.schema["year"] == pl.Int64
    assert tables.users.collect().rows() == [("a", 30), ("b", None)]
    assert tables.rejected.select("row", "reason").rows() == [(3, "sku was there before; the first row is kept"), (4, "sku is blank")]
    assert list(made.sources()) == [tmp_path / "events.csv", tmp_path / "items.csv", tmp_path / "users.csv"]


def test_items_of_jsonl_keep_lists_and_may_differ_in_keys(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"item": "x", "tags": ["a", "b", null]}\n{"item": 7, "price": 2.5, "more": {"k": 1}}\n')
    tables = read(tmp_path, "user,item\na,x\n", items=str(tmp_path / "items.jsonl"))
    assert tables.items is not None
    assert tables.items.collect().to_dicts() == [
        {"item_id": "x", "tags": ["a", "b"], "price": None, "more": None},
        {"item_id": "7", "tags": None, "price": 2.5, "more": '{"k": 1}'},
    ]


def test_items_of_parquet_keep_their_types(tmp_path: Path) -> None:
    pl.DataFrame({"item": [1, 2], "code": ["1", "2"], "tags": [["a"], []], "when": [datetime.date(2020, 1, 1)] * 2}).write_parquet(
        tmp_path / "items.parquet"
    )
    tables = read(tmp_path, "user,item\na,1\n", items=str(tmp_path / "items.parquet"))
    assert tables.items is not None
    assert dict(tables.items.collect_schema()) == {"item_id": pl.String, "code": pl.String, "tags": pl.List(pl.String), "when": pl.Date}


def test_mixed_types_are_text(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,size\n1,12\ntwo,XL\n3.0,\n")
    tables = read(tmp_path, "user,item\n1,1\nx,two\n2.5,3.0\n", items=str(tmp_path / "items.csv"))
    assert tables.items is not None
    assert tables.items.collect().rows() == [("1", "12"), ("two", "XL"), ("3.0", None)]
    assert tables.events.collect()["user_id"].to_list() == ["1", "x", "2.5"]


def test_relative_paths_and_strictness_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item\na,x\n")
    columns = {"user": "user", "item": "item"}
    context = {"folder": tmp_path}
    config = FilesReader.Config.model_validate({"events": "e.csv", "columns": columns}, context=context)
    assert config.events == tmp_path / "e.csv"
    with pytest.raises(ValidationError, match=r"leave out either `order` or `columns\.time`"):
        FilesReader.Config.model_validate({"events": "e.csv", "columns": {**columns, "time": "t"}, "order": "n"}, context=context)
    with pytest.raises(ValidationError, match="is no time format"):
        FilesReader.Config.model_validate({"events": "e.csv", "columns": columns, "time_format": "soon"}, context=context)
    (tmp_path / "e.xlsx").write_bytes(b"PK")
    with pytest.raises(ValidationError, match=r"e\.xlsx: cannot tell the format by the name's end; save it as \.csv"):
        FilesReader.Config.model_validate({"events": "e.xlsx", "columns": columns}, context=context)


def test_editors_get_a_complete_schema_of_every_reader(tmp_path: Path) -> None:
    class Section(BaseModel):
        reader: Annotated[SerializeAsAny[Reader.Config], Chosen(Reader)]

    schema = Section.model_json_schema()
    good = {"use": "files", "events": "e.csv", "columns": {"user": "u", "item": "i"}}
    jsonschema.validate({"reader": good}, schema)
    for wrong in ({**good, "evnts": "x"}, {**good, "columns": {"user": "u"}}, {**good, "columns": {"user": "u", "item": "i", "tiem": "t"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"reader": wrong}, schema)
