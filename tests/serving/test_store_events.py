"""The event log: once per event_id, a history at once, merged people, and the same in both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from genre.serving.store import events
from genre.serving.store.database import Database, Unavailable
from genre.serving.store.schema import events as table
from genre.serving.store.schema import metadata
from genre.serving.store.writer import Writer


def row(event_id: str, time: float = 1.0, user: str | None = "ann", item: str | None = "alien", **more: Any) -> dict[str, Any]:
    return {
        "event_id": event_id, "received": time, "time": time, "type": "click", "user_id": user, "session_id": None, "item_id": item,
        "value": None, "request_id": None, "position": None, "surface": None, "props": None, **more,
    }  # fmt: skip


def log(database: Database, *rows: dict[str, Any]) -> int:
    with database.write() as connection:
        return events.append(connection, rows)


def seen(database: Database, user: str | None = "ann", session: str | None = None, n: int = 50) -> list[str]:
    with database.read() as connection:
        return [event.item_id for event in events.history(connection, user, session, n)]


def test_the_migrations_make_the_tables_that_the_code_means(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_at_once_from_several_processes_is_harmless(database: Database) -> None:
    def migrate(_: int) -> None:
        with closing(Database(database.url.render_as_string(hide_password=False), database.schema)) as another:
            another.migrate()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, range(4)))


def test_an_event_sent_twice_counts_once(database: Database) -> None:
    assert log(database, row("a"), row("b"), row("a")) == 2
    assert log(database, row("b"), row("c")) == 1
    assert len(seen(database)) == 3


def test_a_history_is_the_newest_events_oldest_first_without_impressions(database: Database) -> None:
    log(database, row("1", 3, item="c"), row("2", 1, item="a"), row("3", 2, item="b"), row("4", 9, item="x", type="impression"))
    log(database, row("5", 9, item=None, type="search"), row("6", 9, user="bob", item="y"))
    assert seen(database) == ["a", "b", "c"]
    assert seen(database, n=2) == ["b", "c"]
    assert seen(database, "nobody") == [] == seen(database, None, None)


def test_a_session_of_a_user_counts_as_the_users(database: Database) -> None:
    log(database, row("1", 1, item="a"), row("2", 2, user=None, session_id="s", item="b"), row("3", 3, item="c", session_id="s"))
    assert seen(database, "ann", "s") == ["a", "b", "c"]
    assert seen(database, None, "s") == ["b"]
    assert seen(database, "s") == [], "a user called like a session is somebody else"


def test_a_merged_session_is_the_user_for_events_before_and_after(database: Database) -> None:
    log(database, row("1", 1, user=None, session_id="s", item="a"), row("2", 2, item="b"))
    with database.write() as connection:
        assert events.merge(connection, "session:s", "user:ann") == 1
    log(database, row("3", 3, user=None, session_id="s", item="c"))
    assert seen(database) == ["a", "b", "c"] == seen(database, "ann", "s") == seen(database, None, "s")


def test_merges_chain_and_never_run_in_a_circle(database: Database) -> None:
    log(database, row("1", 1, user="x", item="a"), row("2", 2, user="y", item="b"), row("3", 3, user="z", item="c"))
    with database.write() as connection:
        events.merge(connection, "user:x", "user:y")
        events.merge(connection, "user:y", "user:z")
    assert seen(database, "x") == seen(database, "y") == seen(database, "z") == ["a", "b", "c"]
    with database.write() as connection, pytest.raises(ValueError, match="itself"):
        events.merge(connection, "user:z", "user:x")


def test_what_is_followed_comes_in_order_of_commit_from_many_writers(database: Database) -> None:
    def write(worker: int) -> None:
        for at in range(20):
            log(database, row(f"{worker}-{at}"))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    followed: list[str] = []
    last = 0
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or len(followed) < 60:
        with database.read() as connection:
            for seq, event in events.since(connection, last):
                followed.append(event.event_id)
                last = seq
    assert len(followed) == len(set(followed)) == 60, "a follower that remembers the last seq misses nothing and sees nothing twice"


def test_group_commit_answers_each_piece_and_a_failing_one_harms_no_other(database: Database) -> None:
    def fail(connection: sa.Connection) -> None:
        events.append(connection, [row("lost")])
        raise KeyError("mine")

    writer = Writer(database)
    good = [writer.submit(partial(events.append, rows=[row(f"{at}"), row("shared")])) for at in range(30)]
    bad = writer.submit(fail)
    more = writer.submit(lambda connection: events.append(connection, [row("after")]))
    assert sum(future.result() for future in good) == 31
    assert more.result() == 1
    with pytest.raises(KeyError):
        bad.result()
    writer.close()
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 32


def test_work_that_nobody_waits_for_is_not_done_and_the_writer_goes_on(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> int:
        begun.set()
        go_on.wait(30)
        return events.append(connection, [row("held")])

    writer = Writer(database)
    held = writer.submit(hold)
    assert begun.wait(30)
    gone = writer.submit(partial(events.append, rows=[row("gone")]))
    after = writer.submit(partial(events.append, rows=[row("after")]))
    assert gone.cancel()
    assert not held.cancel(), "it is under way"
    go_on.set()
    assert (held.result(30), after.result(30)) == (1, 1)
    writer.close()
    with database.read() as connection:
        assert set(connection.execute(sa.select(table.c.event_id)).scalars()) == {"held", "after"}


def test_a_full_disk_refuses_the_event_and_the_log_goes_on_when_there_is_room(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("the size of a PostgreSQL database is not ours to limit")
    with database.write() as connection:  # every connection of the pool: there is one so far
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="full"):
        log(database, *(row(f"{at}", props={"x": "y" * 1000}) for at in range(50)))
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert log(database, row("a")) == 1
    assert len(seen(database)) == 1


def test_a_history_that_cannot_be_read_says_that_the_store_is_away(tmp_path: Path) -> None:
    """SQLite's driver is asked itself, and its errors are the store's all the same."""
    with closing(Database(f"sqlite:///{tmp_path / 'empty.db'}")) as empty, pytest.raises(Unavailable, match="no such table"):
        seen(empty)


def test_a_database_that_is_not_there_says_so_without_its_password() -> None:
    gone = Database("postgresql://someone:s3cret@127.0.0.1:1/none")
    with pytest.raises(Unavailable) as error, gone.read():
        pass
    assert "s3cret" not in str(error.value)
