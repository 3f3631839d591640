"""Findings: a running experiment's figures, from what the server itself logged."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from genre.experiments.analysis import Analysis, analyse
from genre.experiments.assignment import Assigner
from genre.experiments.definition import INTERLEAVED, ExperimentConfig, ExperimentError, Logs, TooEarlyError
from genre.experiments.logs import read_logs
from genre.experiments.metrics import SHOWN
from genre.experiments.planning import Outlook, check_plannable, look_ahead
from genre.experiments.state import Experiment
from genre.experiments.sums import DAY
from genre.serving.live import columns
from genre.serving.store.assignments import label
from genre.serving.store.database import Database
from genre.serving.store.events import ANONYMOUS
from genre.serving.store.schema import assignments, events, exposures, merges, roots

UNITS = 500
"""Units whose rows are read at once."""
EXPOSURES = {
    "unit": pl.String, "variant": pl.String, "time": pl.Float64, "ms": pl.Float64, "degraded": pl.Boolean, "items": pl.List(pl.String),
    "first": pl.String,
}  # fmt: skip
EVENTS = {"unit": pl.String, "event": pl.String, "time": pl.Float64, "value": pl.Float64, "team": pl.String}


def analysed(database: Database, experiment: Experiment, watching: bool = False) -> Analysis:
    """Everything that is known by now, or was known when it was stopped.

    Args:
        watching: see `analyse`.

    Raises:
        ExperimentError: nothing can be said yet, or at all.
    """
    if experiment.started is None:
        raise ExperimentError(f"experiment {experiment.config.name!r} was not started: there is nothing to report")
    now = experiment.stopped or time.time()
    with copied(database, experiment.config, experiment.started) as config:
        return analyse(config, read_logs(config, experiment.started, now, quiet=True), watching, ended=experiment.stopped is not None)


def planned(database: Database, config: ExperimentConfig) -> Outlook:
    """How many units and days it takes, from who was shown the surface lately and what they did.

    Raises:
        ExperimentError: the log says nothing of the primary metric.
    """
    check_plannable(config)
    now = time.time()
    with copied(database, config, None, now - DAY * (config.days + (config.cuped_days or 0))) as seen:
        return look_ahead(seen, now)


@contextmanager
def copied(database: Database, config: ExperimentConfig, started: float | None, since: float = 0.0) -> Iterator[ExperimentConfig]:
    """The definition with its logs beside it as files, for as long as the block lasts.

    Args:
        started: of the experiment; None copies what everybody did who was shown the surface, and each show as an event.
        since: events before are left out.
    """
    with tempfile.TemporaryDirectory(prefix="genre-experiment-") as scratch:
        folder = Path(scratch)
        if started is None or config.hold_out:
            begun = since if started is None else started
            units = sa.select(exposures.c.unit).where(*_here(config, begun), exposures.c.unit != ANONYMOUS).distinct()
        else:
            joined = assignments.join(merges, merges.c.unit == assignments.c.unit, isouter=True)
            unit = sa.func.coalesce(merges.c.into_unit, assignments.c.unit)
            units = sa.select(unit).select_from(joined).where(assignments.c.experiment == config.name).distinct()
        done = since if started is None else started - DAY * (config.cuped_days or 0)
        with database.read() as connection:
            everybody = sorted(connection.execute(units).scalars())
        if not everybody:
            what = f"the surface {config.surface!r}" if started is None else repr(config.name)
            raise TooEarlyError(f"nobody was shown {what} yet")
        for part in range(0, len(everybody), UNITS):
            some = everybody[part : part + UNITS]
            with database.read() as connection:
                if started is not None:
                    _write(folder / "exposures" / f"{part:06d}.parquet", _shown(connection, config, some, started), EXPOSURES)
                lists = [] if started is not None else _seen(connection, config, some, done)
                _write(folder / "events" / f"{part:06d}.parquet", lists + _done(connection, config, some, done), EVENTS)
        logs = Logs(exposures=None if started is None else folder / "exposures", events=folder / "events", **columns(config.interleave))
        yield config.model_copy(update={"logs": logs})


def _shown(connection: sa.Connection, config: ExperimentConfig, units: Sequence[str], started: float) -> list[dict[str, Any]]:
    variants = {label(config.name, variant): variant for variant in config.shares()}
    column = exposures.c
    ours = _here(config, started) if config.hold_out else (column.time >= started, column.variant.in_(list(variants)))
    chosen = sa.select(column.unit, column.variant, column.time, column.ms, column.degraded, column.item_ids, column.teams).where(
        column.unit.in_(units), *ours
    )
    held = _held(connection, config, units, started) if config.hold_out else {}
    return [
        {
            "unit": row.unit, "variant": held.get(row.unit) or variants[row.variant], "time": row.time, "ms": row.ms,
            "degraded": bool(row.degraded), "items": row.item_ids, "first": (row.teams or [None])[0],
        }
        for row in connection.execute(chosen)
    ]  # fmt: skip


def _here(config: ExperimentConfig, since: float) -> tuple[sa.ColumnElement[bool], ...]:
    """Lists of the surface, or of all surfaces where it is about everything."""
    everywhere = () if config.hold_out else (exposures.c.surface == config.surface,)
    return (exposures.c.time >= since, *everywhere)


def _held(connection: sa.Connection, config: ExperimentConfig, units: Sequence[str], started: float) -> dict[str, str]:
    """Who is held out and who is not. Lists are labelled with the other experiments; but the same hash tells again what it told then."""
    root = {row.unit: row.root for row in connection.execute(sa.select(roots.c.unit, roots.c.root).where(roots.c.unit.in_(units)))}
    assigner = Assigner([Experiment(config=config).start(started)], root)
    return {unit: variant for unit in units if (variant := assigner.assign(unit, config.name, started).variant) is not None}


def _seen(connection: sa.Connection, config: ExperimentConfig, units: Sequence[str], since: float) -> list[dict[str, Any]]:
    """Each list as an event: who only looked will take part too."""
    column = exposures.c
    chosen = sa.select(column.unit, column.time).where(column.unit.in_(units), *_here(config, since))
    return [{"unit": row.unit, "event": SHOWN, "time": row.time, "value": None, "team": None} for row in connection.execute(chosen)]


def _done(connection: sa.Connection, config: ExperimentConfig, units: Sequence[str], since: float) -> list[dict[str, Any]]:
    column = events.c
    chosen = sa.select(column.unit, column.type.label("event"), column.time, column.value).where(
        column.unit.in_(units), column.time >= since
    )
    if not config.interleave:
        return [{**row, "team": None} for row in connection.execute(chosen).mappings()]
    of_list = sa.and_(exposures.c.request_id == column.request_id, exposures.c.variant == label(config.name, INTERLEAVED))
    chosen = chosen.add_columns(column.item_id, exposures.c.item_ids, exposures.c.teams).outerjoin_from(events, exposures, of_list)
    return [
        {"unit": row.unit, "event": row.event, "time": row.time, "value": row.value, "team": _team(row.item_id, row.item_ids, row.teams)}
        for row in connection.execute(chosen)
    ]


def _team(item_id: str | None, item_ids: list[str] | None, teams: list[str] | None) -> str | None:
    """Whose pick an event is about; nobody's, if it does not name the list that showed the item."""
    return teams[item_ids.index(item_id)] if teams and item_ids and item_id in item_ids else None


def _write(file: Path, rows: list[dict[str, Any]], schema: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    pl.DataFrame(rows, schema=schema).write_parquet(file)
