"""Lists that were shown, from somebody's own file: by role, with labels and context, and bad rows named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genre.component import build
from genre.data.readers import Reader, Tables
from genre.data.readers.rejection import ReadError

EVENTS = "user,item,when\nann,007,100\nbob,8,200\n"
SHOWN = """visit,user,item,when,place,clicked,bought,device
v1,ann,007,90,1,true,0,phone
v1,ann,8,90,2,0,0,phone
v2,bob,8,2001-09-09T01:46:40Z,,1,1,
"""


def read(folder: Path, shown: str = SHOWN, lists: dict[str, Any] | None = None) -> Tables:
    (folder / "events.csv").write_text(EVENTS)
    (folder / "shown.csv").write_text(shown)
    settings = {
        "use": "files", "events": folder / "events.csv", "impressions": folder / "shown.csv",
        "columns": {"user": "user", "item": "item", "time": "when"}, "lists": lists or {"request": "visit", "position": "place"},
    }  # fmt: skip
    reader = build(Reader, settings)
    assert folder / "shown.csv" in list(reader.sources()), "a changed file makes the run stale"
    return reader.read(folder / "scratch")


def test_roles_labels_and_context(tmp_path: Path) -> None:
    tables = read(tmp_path, SHOWN.replace(",,1,1,", ",1,1,1,"))
    assert tables.impressions is not None
    frame = tables.impressions.collect()
    assert frame.schema == {
        "request_id": pl.String, "user_id": pl.String, "time": pl.Float64, "item_id": pl.String, "position": pl.Float64,
        "clicked": pl.Boolean, "bought": pl.Int64, "device": pl.String,
    }  # fmt: skip
    assert frame.rows() == [
        ("v1", "ann", 90.0, "007", 1.0, True, 0, "phone"),
        ("v1", "ann", 90.0, "8", 2.0, False, 0, "phone"),
        ("v2", "bob", 1e9, "8", 1.0, True, 1, None),
    ]


def test_bad_rows_are_named_and_the_others_read(tmp_path: Path) -> None:
    tables = read(tmp_path, SHOWN + "v3,,8,90,1,1,0,phone\nv3,ann,8,noon,1,1,0,phone\nv3,ann,8,90,1,maybe,0,phone\n")
    assert tables.impressions is not None
    assert tables.impressions.select(pl.len()).collect().item() == 2
    assert tables.rejected.select("row", "reason").rows() == [
        (3, "place (the position) is not a number"),
        (4, "user (the user) is blank"),
        (5, "when (the time) is blank or neither unix seconds nor an ISO date: set data.reader.time_format, such as '%d.%m.%Y %H:%M'"),
        (6, "clicked (clicked) is neither 1 nor 0, true nor false"),
    ]


def test_a_missing_column_is_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"shown.csv: there is no column 'visitor'; did you mean 'visit'"):
        read(tmp_path, lists={"request": "visitor"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"impressions": "shown.csv"}, "go together; one is missing"),
        ({"lists": {"request": "visit"}}, "go together; one is missing"),
        (
            {"impressions": "shown.csv", "lists": {"request": "visit"}, "columns": {"user": "user", "item": "item"}},
            "lists.time: impressions need a clock",
        ),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "shown.csv").write_text(SHOWN)
    columns = {"user": "user", "item": "item", "time": "when"}
    with pytest.raises(ValueError, match=message):
        build(Reader, {"use": "files", "events": "events.csv", "columns": columns, **settings})
