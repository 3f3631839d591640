"""Erasure: no trace of a person's id in a run's store, its copies, its archive, its training data and its bundles."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import sqlalchemy as sa
from safetensors.numpy import load_file, save_file

from genre.bundle import DISLIKED, HISTORIES, LIST, Bundle, seal, user_keys
from genre.serving.archive import ARCHIVE
from genre.serving.settings import open_store
from genre.serving.shelf import MODELS, bundles
from genre.serving.store.audit import record
from genre.serving.store.database import Database
from genre.serving.store.schema import assignments, comparisons, events, exposures, merges, metadata, roots, traces, users
from genre.writing import whole


def forget(run: Path, user_id: str, actor: str, database: str | None = None) -> dict[str, int]:
    """Erase a person; returns how many rows of what were erased.

    What was learnt from many people's events together stays as it is until the next training, which sees nothing of this person. Files that
    the run was made from are their owner's to change: erase the person there too, or training from them brings the events back.
    """
    gone: Counter[str] = Counter()
    with closing(open_store(run, database)) as store:
        store.migrate()
        gone.update(_in_store(store, user_id, actor))
    for copy in sorted((run / "backups").glob("*.db")):
        with closing(Database(f"sqlite:///{copy}")) as store:
            store.migrate()
            gone["copies of the store"] += bool(sum(_in_store(store, user_id, actor).values()))
            with store.read() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
    for file in sorted((run / ARCHIVE).rglob("*.parquet")):
        gone["rows of the archive"] += _in_archive(file, user_id)
    for folder in [run, *(inner for inner in run.iterdir() if inner.is_dir())]:
        gone["training rows"] += _in_training(folder / "prepare", user_id)
    for model in bundles(run):
        gone["bundles"] += _in_bundle(run / MODELS / model, user_id)
    return {what: count for what, count in gone.items() if count}


def _in_store(store: Database, user_id: str, actor: str) -> Counter[str]:
    gone: Counter[str] = Counter()
    with store.write() as connection:
        into = connection.execute(sa.select(merges.c.into_unit).where(merges.c.unit == f"user:{user_id}")).scalar()
        own = sa.select(merges.c.unit).where(merges.c.into_unit == f"user:{user_id}")
        units = [f"user:{user_id}", *connection.execute(own).scalars()]
        asked = sa.select(exposures.c.request_id).where(sa.or_(exposures.c.unit.in_(units), exposures.c.user_id == user_id))
        for table in (traces, comparisons):
            connection.execute(table.delete().where(table.c.request_id.in_(asked)))
        for table in (events, exposures):
            done = connection.execute(table.delete().where(sa.or_(table.c.unit.in_(units), table.c.user_id == user_id)))
            gone[table.name] += done.rowcount
        gone["assignments"] += connection.execute(assignments.delete().where(assignments.c.unit.in_(units))).rowcount
        connection.execute(roots.delete().where(sa.or_(roots.c.unit.in_(units), roots.c.root.in_(units))))
        gone["users"] += connection.execute(users.delete().where(users.c.user_id == user_id)).rowcount
        connection.execute(merges.delete().where(sa.or_(merges.c.unit.in_(units), merges.c.into_unit == f"user:{user_id}")))
        if into is not None:
            gone["merges"] += 1
        record(connection, actor, "forget", rows=sum(gone.values()))  # of whom is what must not be known
    with store.read() as connection:
        if store.is_sqlite:  # what was deleted is overwritten (secure_delete); the log that still has it is emptied
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            for name in metadata.tables:
                connection.exec_driver_sql(f"VACUUM {name}")
    return gone


def _in_archive(file: Path, user_id: str) -> int:
    frame = pl.read_parquet(file, hive_partitioning=False)
    his = pl.lit(False)
    for column, value in (("unit", f"user:{user_id}"), ("into_unit", f"user:{user_id}"), ("user_id", user_id)):
        if column in frame.columns:
            his = his | (pl.col(column) == value).fill_null(False)
    return _rewritten(file, frame, frame.filter(~his))


def _in_training(folder: Path, user_id: str) -> int:
    """Of a prepared dataset: the id becomes a name that says nothing, the interactions go; indices of others stay what they are."""
    gone = 0
    file = folder / "users.parquet"
    if file.is_file():
        people = pl.read_parquet(file)
        found = people.filter(pl.col("user_id") == user_id)
        if len(found):
            nobody = {
                name: pl.when(pl.col("user_id") == user_id).then(None).otherwise(pl.col(name)).alias(name)
                for name in people.columns
                if name not in ("user_id", "user_idx")
            }
            name = f"forgotten-{secrets.token_hex(8)}"
            renamed = pl.when(pl.col("user_id") == user_id).then(pl.lit(name)).otherwise(pl.col("user_id")).alias("user_id")
            _replace(file, people.with_columns(*nobody.values()).with_columns(renamed))
            gone += 1
            for table in [folder / "interactions.parquet", *folder.glob("disliked.parquet")]:
                rows = pl.read_parquet(table)
                gone += _rewritten(table, rows, rows.filter(pl.col("user_idx") != found["user_idx"][0]))
    for other in ("impressions", "rejected"):
        file = folder / f"{other}.parquet"
        if file.is_file():
            frame = pl.read_parquet(file)
            if "user_id" in frame.columns:
                gone += _rewritten(file, frame, frame.filter((pl.col("user_id") != user_id).fill_null(True)))
            elif "content" in frame.columns:
                gone += _rewritten(file, frame, frame.filter(~pl.col("content").str.contains(user_id, literal=True).fill_null(False)))
    return gone


def _in_bundle(folder: Path, user_id: str) -> int:
    """A bundle's histories are by the hash of an id; what is left is sealed again. A server has it in memory until its next model."""
    state = load_file(folder / HISTORIES)
    if user_keys([user_id])[0] not in state["key_U"]:
        return 0
    Bundle.open(folder)  # a damaged bundle must not become a sound one
    for file in [folder / HISTORIES, *folder.glob(DISLIKED)]:
        _without(file, user_id)
    seal(folder, json.loads((folder / LIST).read_text())["facts"])
    return 1


def _without(file: Path, user_id: str) -> None:
    state = load_file(file)
    where = np.flatnonzero(state["key_U"] == user_keys([user_id])[0])
    u = int(where[0])
    start, stop = int(state["offsets"][u]), int(state["offsets"][u + 1])
    entries = np.r_[0:start, stop : len(state["item_idx_E"])]
    offsets = np.delete(state["offsets"], u + 1)
    offsets[u + 1 :] -= stop - start
    kept = {
        "key_U": np.delete(state["key_U"], u),
        "offsets": offsets,
        "item_idx_E": state["item_idx_E"][entries],
        "time_E": state["time_E"][entries],
    }
    with whole(file) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in kept.items()}, partial)


def _rewritten(file: Path, before: pl.DataFrame, after: pl.DataFrame) -> int:
    if len(after) < len(before):
        _replace(file, after)
    return len(before) - len(after)


def _replace(file: Path, frame: pl.DataFrame) -> None:
    with whole(file) as partial:
        frame.write_parquet(partial)
