"""Evidence: from the served logs to everything that is known of an experiment, by the same analysis that reads files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from genre.experiments.analysis import Analysis, analyse
from genre.experiments.definition import Logs, TooEarlyError
from genre.experiments.logs import read_logs
from genre.experiments.state import Experiment
from genre.experiments.sums import DAY
from genre.serving.store.database import Database
from genre.serving.store.schema import assignments, events, exposures

SERVED = Logs(latency="latency", degraded="degraded", items="items")
"""What the columns of the served logs are called here."""
CHUNK = 50_000
SHOWN = {
    "unit": pl.String, "variant": pl.String, "time": pl.Float64, "latency": pl.Float64, "degraded": pl.Float64, "items": pl.List(pl.String),
}  # fmt: skip
DONE = {"unit": pl.String, "event": pl.String, "time": pl.Float64, "value": pl.Float64}


def evidence(database: Database, experiment: Experiment) -> Analysis:
    """Every metric, guardrail and check to this moment, or to when it was stopped. Memory is bounded: rows go by way of temporary files.

    Raises:
        ExperimentError: nothing can be said yet, or ever; the message says which.
    """
    config, now = experiment.config, experiment.stopped or time.time()
    assert experiment.started is not None
    back = (config.cuped_days or 0) * DAY
    with tempfile.TemporaryDirectory(prefix="genre-experiment-") as folder:
        logs = SERVED.model_copy(update={"exposures": Path(folder) / "exposures", "events": Path(folder) / "events"})
        with database.read() as connection:
            if not _write(Path(folder) / "exposures", SHOWN, map(_shown, _lists(connection, config.name))):
                raise TooEarlyError(f"experiment {config.name!r} was shown to nobody yet: ask for lists on surface {config.surface!r}")
            if not _write(Path(folder) / "events", DONE, map(_done, _deeds(connection, config.name, experiment.started - back, now))):
                raise TooEarlyError(f"nobody in experiment {config.name!r} did anything yet: send events with their user_id or session_id")
        read = config.model_copy(update={"logs": logs})
        return analyse(read, read_logs(read, experiment.started, now))


def _lists(connection: sa.Connection, name: str) -> Iterator[list[sa.Row[Any]]]:
    column = exposures.c
    chosen = sa.select(column.seq, column.unit, column.variant, column.time, column.ms, column.degraded, column.item_ids)
    return _chunks(connection, chosen.where(column.experiment == name), column.seq)


def _deeds(connection: sa.Connection, name: str, since: float, until: float) -> Iterator[list[sa.Row[Any]]]:
    """Of units that take part: those that were shown a variant."""
    column = events.c
    units = sa.select(assignments.c.unit).where(assignments.c.experiment == name)
    chosen = sa.select(column.seq, column.unit, column.type, column.time, column.value)
    return _chunks(connection, chosen.where(column.unit.in_(units), column.time.between(since, until)), column.seq)


def _chunks(connection: sa.Connection, chosen: sa.Select[Any], seq: sa.Column[Any]) -> Iterator[list[sa.Row[Any]]]:
    last, rows = 0, list[sa.Row[Any]]()
    while not last or len(rows) == CHUNK:
        rows = list(connection.execute(chosen.where(seq > last).order_by(seq).limit(CHUNK)))
        last = rows[-1].seq if rows else -1
        yield rows


def _shown(rows: list[sa.Row[Any]]) -> list[tuple[Any, ...]]:
    return [(row.unit, row.variant, row.time, row.ms, float(bool(row.degraded)), row.item_ids) for row in rows]


def _done(rows: list[sa.Row[Any]]) -> list[tuple[Any, ...]]:
    return [(row.unit, row.type, row.time, row.value) for row in rows]


def _write(folder: Path, schema: dict[str, Any], chunks: Iterator[list[tuple[Any, ...]]]) -> int:
    """Parquet files of a chunk each; returns how many rows."""
    folder.mkdir()
    written = 0
    for at, rows in enumerate(chunks):
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / f"{at:06d}.parquet")
        written += len(rows)
    return written
