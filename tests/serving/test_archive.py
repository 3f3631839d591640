"""The archive: each row once, whatever happens, and a source to train from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from test_store_events import log, row, seen

from genre.component import build
from genre.data.readers import Reader
from genre.serving import archive as archiving
from genre.serving.archive import COLUMNS, archive
from genre.serving.contract import ItemIn, Trace
from genre.serving.store import catalogue, events, exposures
from genre.serving.store.database import Database
from genre.serving.store.schema import LOGS
from genre.serving.store.schema import events as event_table
from genre.testing import check_reader

DAY = 86_400.0


def show(database: Database, request_id: str, *items: str) -> None:
    trace = Trace(request_id, 5.0, "home", "user:ann", "000001", "greedy", "b", {"device": "phone"}, list(items))
    trace.positions, trace.scores = list(range(1, len(items) + 1)), [0.5] * len(items)
    trace.propensities = [0.25, *[None] * (len(items) - 1)]
    with database.write() as connection:
        exposures.append(connection, [(trace, "recommend", "ann", None)])


def archived(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(sorted((folder / name).glob("date=*/*.parquet")), hive_partitioning=False)


def test_every_log_has_the_columns_that_are_promised() -> None:
    for name, table in LOGS.items():
        assert set(COLUMNS[name]) - {"seq", "candidates"} <= {column.name for column in table.columns} - {"seq"}


def test_rows_are_archived_once_by_day_also_when_killed_in_between(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "CHUNK", 4)
    log(database, *(row(f"{at}", at * DAY / 3) for at in range(10)))
    with monkeypatch.context() as patch:

        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(archiving, "upsert", killed)
        with pytest.raises(KeyboardInterrupt):
            archive(database, tmp_path)
    log(database, row("late", 10 * DAY / 3))
    assert archive(database, tmp_path) == 11
    assert archive(database, tmp_path) == 0
    there = archived(tmp_path, "events")
    assert sorted(there["event_id"]) == sorted([*(f"{at}" for at in range(10)), "late"])
    assert [folder.name for folder in sorted((tmp_path / "events").iterdir())] == [f"date=1970-01-0{day}" for day in range(1, 5)]


def test_an_exposure_has_all_that_an_off_policy_estimate_needs(database: Database, tmp_path: Path) -> None:
    show(database, "r1", "alien", "ran")
    archive(database, tmp_path)
    line = archived(tmp_path, "exposures").row(0, named=True)
    assert line["item_ids"] == ["alien", "ran"]
    assert line["positions"] == [1, 2]
    assert line["propensities"] == [0.25, None]
    assert (line["request_id"], line["unit"], line["surface"], line["variant"], line["model"], line["policy"]) == (
        "r1", "user:ann", "home", "b", "000001", "greedy",
    )  # fmt: skip
    assert line["context"] == '{"device":"phone"}'
    assert line["candidates"] is None, "the policy of this one chose from nothing"


def test_old_rows_leave_the_database_once_they_are_archived(database: Database, tmp_path: Path) -> None:
    log(database, row("old", 5.0), row("new", time.time(), item="b"))
    archive(database, tmp_path, keep_days=30)
    assert seen(database) == ["b"]
    assert archived(tmp_path, "events").height == 2
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(event_table)).scalar() == 1


def test_the_archive_is_a_source_to_train_from(database: Database, tmp_path: Path) -> None:
    log(database, row("1", 1, item="alien"), row("2", 2, user=None, session_id="s", item="ran"), row("3", 3, type="hide", item="x"))
    log(database, row("4", 4, user=None, session_id="t", item="ran", value=2.5), row("5", 5, type="impression", request_id="r1"))
    log(database, row("6", 6, item="ran", request_id="r1"), row("7", 7, type="dislike", item="alien", request_id="r1"))
    log(
        database,
        row("8", 7, type="rate", item="ran", request_id="r1", value=4.0),
        row("9", 8, type="purchase", item="ran", request_id="r1"),
    )
    show(database, "r1", "alien", "ran")
    with database.write() as connection:
        events.merge(connection, "session:s", "user:ann")
        catalogue.put_items(connection, [ItemIn(item_id="alien", attributes={"title": "Alien", "genres": ["sf", "horror"], "year": 1979})])
        catalogue.put_items(
            connection, [ItemIn(item_id="ran", attributes={"title": "Ran"}), ItemIn(item_id="gone", attributes={"title": "?"})]
        )
        catalogue.put_items(connection, [ItemIn(item_id="ran", attributes={"title": "Ran (1985)", "year": 1985})], "patch")
        catalogue.delete_items(connection, ["gone"])
    archive(database, tmp_path / "logs")
    reader = build(Reader, {"use": "event_log", "path": str(tmp_path / "logs")})
    check_reader(reader)
    tables = reader.read(tmp_path)
    rows = tables.events.select("user_id", "item_id", "event", "value").collect().rows()
    assert rows == [
        ("ann", "alien", "click", None),
        ("ann", "ran", "click", None),
        ("session:t", "ran", "click", 2.5),
        ("ann", "ran", "click", None),
        ("ann", "ran", "rate", 4.0),
        ("ann", "ran", "purchase", None),
    ]
    assert tables.items is not None
    assert tables.items.collect().to_dicts() == [
        {"item_id": "alien", "title": "Alien", "genres": "sf, horror", "year": 1979},
        {"item_id": "ran", "title": "Ran (1985)", "genres": None, "year": 1985},
    ]
    assert tables.impressions is not None
    shown = tables.impressions.collect()
    assert shown.select("request_id", "item_id", "position", "clicked").rows() == [("r1", "alien", 1, False), ("r1", "ran", 2, True)]
    assert shown.select("surface", "device").rows() == [("home", "phone")] * 2, "the context is what a deep ranker learns of a request"
    labels = shown.select("dislike", "hide", "purchase", "rate", "rate_value", "click_value").to_dicts()
    nothing = {"dislike": 0, "hide": 0, "purchase": 0, "rate": 0, "rate_value": None, "click_value": None}
    assert labels == [{**nothing, "dislike": 1}, {**nothing, "purchase": 1, "rate": 1, "rate_value": 4.0}]


def test_what_was_trained_on_before_there_was_a_log_comes_first(database: Database, tmp_path: Path) -> None:
    log(database, row("1", 4e9, user="u0", item="new"))
    with database.write() as connection:
        catalogue.put_items(
            connection,
            [ItemIn(item_id="new", attributes={"title": "New", "colour": "red"}), ItemIn(item_id="001", attributes={"title": "Changed"})],
        )
    archive(database, tmp_path / "logs")
    base = {"use": "synthetic", "users": 20, "items": 15, "seed": 3}
    before = build(Reader, base).read(tmp_path / "a")
    tables = build(Reader, {"use": "event_log", "path": str(tmp_path / "logs"), "base": base}).read(tmp_path / "b")
    old, both = before.events.collect(), tables.events.collect()
    assert both.head(len(old)).equals(old)
    assert both.row(-1)[:2] == ("u0", "new")
    assert before.items is not None and tables.items is not None
    items = tables.items.collect()
    assert items.columns == before.items.collect_schema().names(), "columns that training never saw are left out"
    assert items.height == 16
    assert items.filter(pl.col("item_id") == "001")["title"].item() == "Changed"


def test_lists_that_were_shown_before_there_was_a_log_come_first(database: Database, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,item,when\nann,alien,1\n")
    (tmp_path / "shown.csv").write_text("visit,user,item,when,clicked,bought,query\nv1,ann,alien,1,1,1,space\n")
    base = {
        "use": "files", "events": str(tmp_path / "events.csv"), "impressions": str(tmp_path / "shown.csv"),
        "columns": {"user": "user", "item": "item", "time": "when"}, "lists": {"request": "visit"},
    }  # fmt: skip
    log(database, row("1", 6, item="ran", request_id="r1"))
    show(database, "r1", "alien", "ran")
    archive(database, tmp_path / "logs")
    shown = build(Reader, {"use": "event_log", "path": str(tmp_path / "logs"), "base": base}).read(tmp_path / "b").impressions
    assert shown is not None
    assert shown.select("request_id", "item_id", "clicked", "bought", "query", "surface", "device").collect().rows() == [
        ("v1", "alien", True, 1, "space", None, None),
        ("r1", "alien", False, None, None, "home", "phone"),
        ("r1", "ran", True, None, None, "home", "phone"),
    ], "a label or a context that one of them does not know is not known there"
