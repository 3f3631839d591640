"""Lists on their way to the log: gathered, written together, none left behind."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from genre.serving import shown
from genre.serving.contract import Trace
from genre.serving.shown import ShownLists
from genre.serving.store.database import Database, Unavailable
from genre.serving.store.exposures import append
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
