"""Lists on their way to the log: gathered, written together, none left behind."""

from __future__ import annotations

import time
import zlib
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from genre.serving import shown
from genre.serving.contract import Trace
from genre.serving.shown import ShownLists
from genre.serving.store.database import Database, Unavailable
from genre.serving.store.exposures import append, get, packed, unpacked
from genre.serving.store.schema import exposures
from genre.serving.store.writer import Writer


def logged(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(exposures)).scalar() or 0)


def show(lists: ShownLists, first: int, count: int) -> None:
    for at in range(first, first + count):
        trace = Trace(f"r{at}", 1.0, "home", "user:ann", "000001", "greedy", item_ids=["a"])
        lists.add((trace, "recommend", "ann", None))


def test_all_are_logged_when_it_is_closed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "TOGETHER", 7)
    writer = Writer(database)
    lists = ShownLists(writer)
    show(lists, 0, 40)
    lists.close()
    writer.close()
    assert (logged(database), len(lists)) == (40, 0)


def test_a_trace_comes_back_as_it_was_to_the_last_digit(database: Database) -> None:
    scores = {"a: score": {"é": 0.1 + 0.2, "b": -1e-300}, "b: score": {"b": 7.0}, "nothing": {}}
    trace = Trace(
        "r1", 1.0, "home", "anonymous", "1", "greedy", stage_scores=scores, candidates={"model": ["b", "é"]}, dropped={"cap": ["c"]}
    )
    with database.write() as connection:
        append(connection, [(trace, "recommend", None, None)])
    with database.read() as connection:
        found = get(connection, "r1")
    assert found is not None
    assert {name: found[name] for name in ("stage_scores", "candidates", "dropped")} == {
        "stage_scores": scores, "candidates": {"model": ["b", "é"]}, "dropped": {"cap": ["c"]},
    }  # fmt: skip
    assert list(found["stage_scores"]["a: score"]) == ["é", "b"]


def test_traces_of_earlier_versions_are_read() -> None:
    details = {"stage_scores": {"score": {"a": 0.5}}, "candidates": {}}
    assert unpacked(zlib.compress(orjson.dumps(details), 1)) == unpacked(packed(details)) == details


def test_what_comes_at_once_shares_a_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []

    def counted(connection: sa.Connection, taken: Any) -> int:
        commits.append(len(taken))
        return append(connection, taken)

    monkeypatch.setattr(shown, "append", counted)
    writer = Writer(database)
    lists = ShownLists(writer)
    show(lists, 0, 1)
    time.sleep(2 * shown.LINGER)
    show(lists, 1, 30)
    lists.close()
    writer.close()
    assert sum(commits) == 31
    assert len(commits) <= 4


def test_a_store_that_is_away_does_not_hold_up_the_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> int:
        raise Unavailable("the store is not available")

    monkeypatch.setattr(shown, "append", away)
    writer = Writer(database)
    lists = ShownLists(writer)
    show(lists, 0, 3)
    lists.close()
    writer.close()
    assert (logged(database), len(lists)) == (0, 3)
