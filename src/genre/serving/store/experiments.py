"""Experiments in the store: defined, started, stopped; every change is one transaction with its line of the audit log."""

from __future__ import annotations

import time as clock
from typing import Any

import sqlalchemy as sa

from genre.experiments.assignment import check_layers
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.state import Experiment
from genre.serving.store.audit import record
from genre.serving.store.inserting import upsert
from genre.serving.store.schema import experiments


class Unknown(ExperimentError):
    """There is no experiment of this name."""


def known(connection: sa.Connection) -> list[Experiment]:
    """Every experiment, the last changed first."""
    chosen = sa.select(experiments.c.state).order_by(experiments.c.changed.desc(), experiments.c.name)
    return [Experiment.model_validate(state) for state in connection.execute(chosen).scalars()]


def get(connection: sa.Connection, name: str) -> Experiment:
    """An experiment.

    Raises:
        Unknown: there is none of this name.
    """
    state = connection.execute(sa.select(experiments.c.state).where(experiments.c.name == name)).scalar()
    if state is None:
        names = [one.config.name for one in known(connection)]
        raise Unknown(f"there is no experiment {name!r}; there is {', '.join(names[:10]) or 'none'}")
    return Experiment.model_validate(state)


def running(connection: sa.Connection) -> list[Experiment]:
    """Those that run, in the order of their names."""
    chosen = sa.select(experiments.c.state).where(experiments.c.status == "running").order_by(experiments.c.name)
    return [Experiment.model_validate(state) for state in connection.execute(chosen).scalars()]


def revision(connection: sa.Connection) -> int:
    """Grows with every change."""
    return connection.execute(sa.select(sa.func.sum(experiments.c.revision))).scalar() or 0


def define(connection: sa.Connection, config: ExperimentConfig, actor: str, request_id: str | None = None) -> Experiment:
    """Write down what will be done; before the start it may be written anew.

    Raises:
        ExperimentError: it was started.
    """
    status = connection.execute(sa.select(experiments.c.status).where(experiments.c.name == config.name)).scalar()
    if status not in (None, "planned"):
        raise ExperimentError(f"experiment {config.name!r} is {status}: its definition is fixed; give a new one another name")
    return _put(connection, Experiment(config=config), actor, "define experiment", request_id)


def start(connection: sa.Connection, config: ExperimentConfig, actor: str, request_id: str | None = None) -> Experiment:
    """A defined one runs from now on.

    Args:
        config: its definition, with what was left to the moment of the start written out.

    Raises:
        ExperimentError: it was started before, or shares units with one that runs.
    """
    others = [one.config for one in running(connection)]
    started = get(connection, config.name).model_copy(update={"config": config}).start(clock.time())
    check_layers([started.config, *others])
    for other in others:
        # One list has one variant: who takes part in one experiment of a surface takes part in no other.
        if other.hold_out or started.config.hold_out:
            continue
        if other.surface == started.config.surface and other.layer.name != started.config.layer.name:
            raise ExperimentError(
                f"{other.name!r} runs on surface {other.surface!r}, in layer {other.layer.name!r}; put {config.name!r} into the same "
                "layer, in a slice that is free"
            )
    shares = {variant: round(share, 4) for variant, share in started.config.shares().items()}
    return _put(connection, started, actor, "start experiment", request_id, shares=shares)


def stop(connection: sa.Connection, name: str, reason: str, actor: str, request_id: str | None = None) -> Experiment:
    """Nobody is assigned any more.

    Raises:
        ExperimentError: it does not run, or no reason is given.
    """
    stopped = get(connection, name).stop(clock.time(), reason)
    return _put(connection, stopped, actor, "stop experiment", request_id, reason=stopped.reason)


def claim(connection: sa.Connection, name: str, now: float, seconds: float) -> bool:
    """Whether it is the caller's turn to look at the guardrails: some worker's, once in so many seconds."""
    due = experiments.update().where(experiments.c.name == name, experiments.c.status == "running", experiments.c.checked <= now - seconds)
    return connection.execute(due.values(checked=now)).rowcount > 0


def _put(connection: sa.Connection, one: Experiment, actor: str, action: str, request_id: str | None, **details: Any) -> Experiment:
    name, now = one.config.name, clock.time()
    before = connection.execute(sa.select(experiments.c.revision).where(experiments.c.name == name)).scalar() or 0
    row = {"status": one.status, "revision": before + 1, "changed": now, "checked": now, "state": one.model_dump(mode="json")}
    upsert(connection, experiments, "name", [{"name": name, **row}])
    record(connection, actor, action, name, request_id, **details)
    return one
