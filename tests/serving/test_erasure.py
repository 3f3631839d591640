"""Erasure: after `forget` a person's id is in no file of the run."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from test_archive import show
from test_store_events import log, row, seen

from genre.bundle import Bundle, user_keys
from genre.data.dataset import Dataset
from genre.serving import operating
from genre.serving.archive import archive
from genre.serving.contract import UserIn
from genre.serving.erasure import forget
from genre.serving.past import Snapshot
from genre.serving.settings import open_store
from genre.serving.store import catalogue, events
from genre.serving.store.database import Database

PERSON = "person-7f3a9c"


def traces_of(person: str, folder: Path) -> list[str]:
    """Files that have the id in their bytes, or in a column of text."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            inside = person.encode() in file.read_bytes()
            if file.suffix == ".parquet":
                frame = pl.read_parquet(file, hive_partitioning=False)
                inside = inside or person in str([frame[name].to_list() for name in frame.columns])
            if inside:
                found.append(str(file.relative_to(folder)))
    return found


def fill(database: Database, person: str) -> None:
    log(database, row("1", user=person), row("2", user=None, session_id=f"visit of {person}"), row("3", user="bob", item="ran"))
    show(database, "r1", "alien")
    with database.write() as connection:
        events.merge(connection, f"session:visit of {person}", f"user:{person}")
        catalogue.put_users(connection, [UserIn(user_id=person, attributes={"note": f"{person} likes films"})])
    log(database, row("4", user=person, props={"said": f"I am {person}"}))


def test_nothing_is_left_of_a_person_and_all_of_the_others(small_bundle: Path, tmp_path: Path) -> None:
    run = tmp_path / "shop"
    shutil.copytree(small_bundle.parents[1], run)
    store = open_store(run)
    store.migrate()
    fill(store, PERSON)
    archive(store, run / "logs")
    operating.back_up_run(run)
    store.close()
    dataset = Dataset.load(run / "prepare")
    known = dataset.users["user_id"][5]
    assert len(traces_of(PERSON, run)) >= 3

    forget(run, PERSON, "test")
    assert traces_of(PERSON, run) == []
    assert forget(run, PERSON, "test") == {}
    gone = forget(run, known, "test")
    assert gone["bundles"] == 1
    after = Dataset.load(run / "prepare")
    assert known not in after.users["user_id"].to_list()
    assert after.n_items == dataset.n_items
    assert [len(after.everything.items(5)), len(after.everything.items(6))] == [0, len(dataset.everything.items(6))]
    bundle = Bundle.open(run / "models" / "000001")
    snapshot = Snapshot.load(bundle.folder)
    assert user_keys([known])[0] not in snapshot.key_U
    for user in (4, 6):
        items, _ = snapshot.of(dataset.users["user_id"][user])
        assert items.tolist() == dataset.everything.items(user).tolist()[-100:]
    store = open_store(run)
    assert seen(store, "bob") == ["ran"]
    store.close()


def test_a_person_is_forgotten_in_either_database(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database, PERSON)
    monkeypatch.setattr(
        "genre.serving.erasure.open_store", lambda run, url: Database(database.url.render_as_string(False), database.schema)
    )
    gone = forget(tmp_path, PERSON, "test")
    assert gone == {"events": 3, "users": 1}
    assert seen(database, PERSON) == []
    assert seen(database, "bob") == ["ran"]
