"""Experiments in the store: started, stopped, and what each unit was first shown; every change is one transaction with its audit line."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from genre.experiments.assignment import check_layers
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.state import Experiment
from genre.serving.store.audit import record
from genre.serving.store.inserting import Row
from genre.serving.store.schema import assignments, experiments, merges


class Unknown(ExperimentError):
    """There is no experiment of this name."""


def start(connection: sa.Connection, config: ExperimentConfig, actor: str, request_id: str | None = None) -> Experiment:
    """It runs from now on. Started twice with the same definition, it runs once.

    Raises:
        ExperimentError: the name is taken, or it would share units with one that runs.
    """
    held = _find(connection, config.name)
    if held is not None and held.status == "running" and held.config == config:
        return held
    experiment = (held or Experiment(config=config)).start(clock.time())
    others = [other.config for other in running(connection)]
    check_layers([config, *others])
    beside = next((other for other in others if other.surface == config.surface and other.layer.name != config.layer.name), None)
    if beside is not None:
        raise ExperimentError(
            f"experiments {beside.name!r} and {config.name!r} are both on surface {config.surface!r}, where a list can be of one: "
            f"give them slices of one layer (of {beside.layer.name!r}), or stop the other"
        )
    state = _state(experiment)
    connection.execute(
        experiments.insert(), {"experiment": config.name, "started": experiment.started, "checked": experiment.started, **state}
    )
    record(connection, actor, "start experiment", config.name, request_id)
    return experiment


def stop(connection: sa.Connection, name: str, reason: str, actor: str, request_id: str | None = None) -> Experiment:
    """Nobody is assigned any more. Stopped twice for the same reason, it is stopped once.

    Raises:
        Unknown: there is no such experiment.
        ExperimentError: it does not run, or no reason is given.
    """
    held = get(connection, name)
    if held.status == "stopped" and held.reason == reason.strip():
        return held
    stopped = held.stop(clock.time(), reason)
    connection.execute(experiments.update().where(experiments.c.experiment == name).values(_state(stopped)))
    record(connection, actor, "stop experiment", name, request_id, reason=stopped.reason)
    return stopped


def get(connection: sa.Connection, name: str) -> Experiment:
    """One experiment.

    Raises:
        Unknown: there is none of this name.
    """
    found = _find(connection, name)
    if found is None:
        raise Unknown(f"there is no experiment {name!r}")
    return found


def known(connection: sa.Connection) -> list[Experiment]:
    """Every experiment, newest first."""
    rows = connection.execute(sa.select(experiments.c.state).order_by(experiments.c.started.desc(), experiments.c.experiment))
    return [Experiment.model_validate(state) for state in rows.scalars()]


def running(connection: sa.Connection) -> list[Experiment]:
    """Those that run, oldest first."""
    chosen = sa.select(experiments.c.state).where(experiments.c.status == "running")
    rows = connection.execute(chosen.order_by(experiments.c.started, experiments.c.experiment))
    return [Experiment.model_validate(state) for state in rows.scalars()]


def due(connection: sa.Connection, name: str, seconds: float) -> bool:
    """Whether its guardrails were last looked at so long ago; whoever asks first is who looks."""
    now = clock.time()
    mine = (experiments.c.experiment == name) & (experiments.c.status == "running") & (experiments.c.checked <= now - seconds)
    return connection.execute(experiments.update().where(mine).values(checked=now)).rowcount > 0


def first_shown(connection: sa.Connection, unit: str) -> tuple[str, dict[str, str]]:
    """The unit that a unit was merged into, or itself, and what it was first shown: a variant by experiment."""
    into = connection.execute(sa.select(merges.c.into_unit).where(merges.c.unit == unit)).scalar() or unit
    rows = connection.execute(sa.select(assignments.c.experiment, assignments.c.variant).where(assignments.c.unit == into))
    return into, {row.experiment: row.variant for row in rows}


def log_first_shows(connection: sa.Connection, shows: Iterable[Row]) -> None:
    """Log rows of `assignments` whose experiment and unit are not in the log. Writers take turns, so that none is logged twice."""
    first: dict[tuple[str, str], Row] = {}
    for row in shows:
        first.setdefault((row["unit"], row["experiment"]), row)
    units = {unit for unit, _ in first}
    held = connection.execute(sa.select(assignments.c.unit, assignments.c.experiment).where(assignments.c.unit.in_(units)))
    new = [first[key] for key in first.keys() - {(row.unit, row.experiment) for row in held}]
    if new:
        connection.execute(assignments.insert(), sorted(new, key=lambda row: row["time"]))


def merge_first_shows(connection: sa.Connection, unit: str, into_unit: str) -> None:
    """Two units are one: it goes on seeing what it saw. Where the two saw different variants, those of `into_unit` stay."""
    already = sa.select(assignments.c.experiment).where(assignments.c.unit == into_unit).scalar_subquery()
    moved = assignments.update().where(assignments.c.unit == unit, assignments.c.experiment.not_in(already))
    connection.execute(moved.values(unit=into_unit))


def _find(connection: sa.Connection, name: str) -> Experiment | None:
    state = connection.execute(sa.select(experiments.c.state).where(experiments.c.experiment == name)).scalar()
    return None if state is None else Experiment.model_validate(state)


def _state(experiment: Experiment) -> Mapping[str, Any]:
    return {"status": experiment.status, "state": experiment.model_dump(mode="json")}
