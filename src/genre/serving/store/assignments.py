"""The assignment log: each unit once an experiment, at its first show; and by whose id merged units are assigned from then on."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from genre.serving.store.inserting import Row, insert_new, upsert
from genre.serving.store.schema import assignments, experiments, roots

KEY = ("experiment", "unit", "variant")


def label(experiment: str, variant: str) -> str:
    """What answers and exposures call an arm."""
    return f"{experiment}/{variant}"


def log_shown(connection: sa.Connection, lists: Iterable[Row]) -> int:
    """Log who was shown a variant for the first time, from rows of exposures; returns how many were new."""
    rows = []
    for row in lists:
        if row["variant"] is not None:
            experiment, _, variant = row["variant"].partition("/")
            kept = {name: row[name] for name in ("time", "unit", "surface", "request_id")}
            rows.append({"experiment": experiment, "variant": variant, **kept})
    return insert_new(connection, assignments, KEY, rows)


ROOT = sa.select(roots.c.root).where(roots.c.unit == sa.bindparam("unit"))


def root_of(connection: sa.Connection, unit: str) -> str:
    """The id that a unit is assigned by."""
    return connection.execute(ROOT, {"unit": unit}).scalar() or unit


def keep_variant(connection: sa.Connection, unit: str, into_unit: str) -> None:
    """Two units become one, which is assigned from now on as the one that a running experiment was shown first.

    Whoever was shown two variants by then is in both arms, and the analysis says so.
    """
    first, second = root_of(connection, unit), root_of(connection, into_unit)
    if first == second:
        return
    group = {unit, into_unit, first, second}
    group.update(connection.execute(sa.select(roots.c.unit).where(roots.c.root.in_([first, second]))).scalars())
    shown = connection.execute(
        sa.select(assignments.c.unit)
        .join(experiments, experiments.c.name == assignments.c.experiment)
        .where(experiments.c.status == "running", assignments.c.unit.in_(sorted(group)))
        .order_by(assignments.c.time, assignments.c.seq)
        .limit(1)
    ).scalar()
    kept = second if shown is None else root_of(connection, shown)
    connection.execute(roots.delete().where(roots.c.unit == kept))
    upsert(connection, roots, "unit", [{"unit": member, "root": kept} for member in sorted(group) if member != kept])
