"""The archive: the four logs as Parquet, a folder a log and a day, each row in it exactly once."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import sqlalchemy as sa

from genre.serving.store.database import Database
from genre.serving.store.exposures import candidates_of
from genre.serving.store.inserting import upsert
from genre.serving.store.schema import LOGS, archived, merges, traces
from genre.writing import whole

ARCHIVE = "logs"
"""In the run's folder."""
CHUNK = 50_000
LISTS = 5_000
"""So many exposures at a time: each brings hundreds of candidates."""
COLUMNS: dict[str, dict[str, Any]] = {
    "exposures": {
        "request_id": pl.String, "time": pl.Float64, "kind": pl.String, "unit": pl.String, "user_id": pl.String, "session_id": pl.String,
        "surface": pl.String, "variant": pl.String, "model": pl.String, "policy": pl.String, "item_ids": pl.List(pl.String),
        "positions": pl.List(pl.Int32), "propensities": pl.List(pl.Float64), "scores": pl.List(pl.Float64), "context": pl.String,
        "degraded": pl.List(pl.String), "ms": pl.Float64, "candidates": pl.List(pl.String), "teams": pl.List(pl.String),
    },
    "events": {
        "event_id": pl.String, "received": pl.Float64, "time": pl.Float64, "type": pl.String, "unit": pl.String, "user_id": pl.String,
        "session_id": pl.String, "item_id": pl.String, "value": pl.Float64, "request_id": pl.String, "position": pl.Int32,
        "surface": pl.String, "props": pl.String,
    },
    "assignments": {
        "time": pl.Float64, "experiment": pl.String, "unit": pl.String, "variant": pl.String, "surface": pl.String,
        "request_id": pl.String,
    },
    "catalogue": {"seq": pl.Int64, "time": pl.Float64, "item_id": pl.String, "change": pl.String, "data": pl.String},
}  # fmt: skip
"""What a log's files hold; `context`, `props` and `data` are JSON. `candidates` are what the policy chose from, best first: null once the
trace is gone."""


def archive(database: Database, folder: Path, keep_days: float | None = None, progress: Callable[[str, int], None] | None = None) -> int:
    """Copy what is new of every log into `folder/LOG/date=YYYY-MM-DD/*.parquet`; returns how many rows.

    Killed at any moment and begun again, it leaves each row in one file: a file is named by its first row, and written again as a whole.

    Args:
        keep_days: rows copied that are older than this leave the database; None keeps all. Histories are read from the database.
        progress: told of each chunk, its log and its rows.
    """
    copied = 0
    for name in LOGS:
        while rows := _next(database, name):
            last = rows[-1]["seq"]
            _write(folder / name, name, rows)
            with database.write() as connection:
                upsert(connection, archived, "log", [{"log": name, "seq": last}])
            copied += len(rows)
            if progress is not None:
                progress(name, len(rows))
            if len(rows) < _chunk(name):
                break
    with database.read() as connection:
        merged = [dict(row) for row in connection.execute(sa.select(merges.c.unit, merges.c.into_unit)).mappings()]
    _whole(pl.DataFrame(merged, schema={"unit": pl.String, "into_unit": pl.String}), folder / "merges.parquet")
    if keep_days is not None:
        _drop(database, clock.time() - keep_days * 86_400)
    return copied


def _next(database: Database, name: str) -> list[dict[str, Any]]:
    log = LOGS[name]
    chosen = sa.select(log)
    if name == "exposures":
        chosen = chosen.add_columns(traces.c.trace).outerjoin(traces, traces.c.request_id == log.c.request_id)
    with database.read() as connection:
        after = connection.execute(sa.select(archived.c.seq).where(archived.c.log == name)).scalar() or 0
        found = connection.execute(chosen.where(log.c.seq > after).order_by(log.c.seq).limit(_chunk(name))).mappings()
        return [{**row, "candidates": candidates_of(row["trace"])} if name == "exposures" else dict(row) for row in found]


def _chunk(name: str) -> int:
    return min(CHUNK, LISTS) if name == "exposures" else CHUNK


def _write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    days: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        moment = row.get("received", row["time"])
        days.setdefault(datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d"), []).append(row)
    for day, of_day in days.items():
        first = of_day[0]["seq"]
        for row in of_day:
            for column in ("context", "props", "data"):
                if row.get(column) is not None:
                    row[column] = orjson.dumps(row[column]).decode()
        frame = pl.DataFrame([{column: row[column] for column in COLUMNS[name]} for row in of_day], schema=COLUMNS[name])
        _whole(frame, folder / f"date={day}" / f"{first:015d}.parquet")


def _whole(frame: pl.DataFrame, file: Path) -> None:
    """Complete or absent."""
    with whole(file) as partial:
        frame.write_parquet(partial, compression="zstd", compression_level=3)


def _drop(database: Database, before: float) -> None:
    """What is archived and old leaves the database, some thousand rows at a time so that writers need not wait."""
    for name, log in LOGS.items():
        if name == "catalogue":
            continue  # servers that start read its end
        moment = log.c.received if name == "events" else log.c.time
        while True:
            with database.write() as connection:
                copied = sa.select(archived.c.seq).where(archived.c.log == name).scalar_subquery()
                old = sa.select(log.c.seq).where(moment < before, log.c.seq <= copied).order_by(log.c.seq).limit(5000)
                if connection.execute(log.delete().where(log.c.seq.in_(old))).rowcount < 5000:
                    break
