"""The registry: which bundles there are, which one serves, which one is watched; every change is one transaction."""

from __future__ import annotations

import time as clock
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from genre.serving.store.audit import record
from genre.serving.store.inserting import insert_new, upsert
from genre.serving.store.schema import comparisons, models, roles


@dataclass(frozen=True)
class Roles:
    """Who serves.

    Attributes:
        current: the model that answers; None before the first promote.
        shadow: the model that is asked too, and not shown.
        below: what `current` replaced, newest first: where rollbacks go.
        revision: grows by one with every change of `current` or `shadow`.
    """

    current: str | None
    shadow: str | None
    below: tuple[str, ...]
    revision: int


class RegistryError(ValueError):
    """A change that the registry refuses; the message says why."""


def register(connection: sa.Connection, model: str, path: str, manifest: dict[str, Any], actor: str) -> bool:
    """Make a bundle known, by its path within the run; False if a model of this name is known already."""
    new = insert_new(connection, models, "model", [{"model": model, "path": path, "registered": clock.time(), "manifest": manifest}]) > 0
    if new:
        record(connection, actor, "register", model)
    return new


def known(connection: sa.Connection) -> list[dict[str, Any]]:
    """Every model, newest first."""
    return [
        dict(row) for row in connection.execute(sa.select(models).order_by(models.c.registered.desc(), models.c.model.desc())).mappings()
    ]


def get(connection: sa.Connection, model: str) -> dict[str, Any]:
    """A model: its path within the run, its manifest, when it was registered.

    Raises:
        RegistryError: there is no such model.
    """
    row = connection.execute(sa.select(models).where(models.c.model == model)).mappings().first()
    if row is None:
        names = [line["model"] for line in known(connection)]
        raise RegistryError(f"there is no model {model!r}; registered: {', '.join(names[:10]) or 'none'}")
    return dict(row)


def now(connection: sa.Connection) -> Roles:
    """Who serves now."""
    rows = {row["role"]: row for row in connection.execute(sa.select(roles)).mappings()}
    current, shadow = rows.get("current"), rows.get("shadow")
    return Roles(
        current["model"] if current else None,
        shadow["model"] if shadow else None,
        tuple(current["below"]) if current else (),
        (current["revision"] if current else 0) + (shadow["revision"] if shadow else 0),
    )


def promote(connection: sa.Connection, model: str, actor: str, request_id: str | None = None) -> Roles:
    """A model serves from now on; the one before is what a rollback returns to.

    Raises:
        RegistryError: there is no such model.
    """
    get(connection, model)
    before = now(connection)
    if before.current == model:
        return before
    below = ([before.current] if before.current else []) + list(before.below)
    _put(connection, "current", model, below[:100])
    record(connection, actor, "promote", model, request_id, before=before.current)
    return now(connection)


def rollback(connection: sa.Connection, actor: str, request_id: str | None = None) -> Roles:
    """The model before serves again; a second rollback goes one further down.

    Raises:
        RegistryError: there is none before.
    """
    before = now(connection)
    if not before.below:
        raise RegistryError("there is no earlier model to roll back to")
    _put(connection, "current", before.below[0], list(before.below[1:]))
    record(connection, actor, "rollback", before.below[0], request_id, before=before.current)
    return now(connection)


def shadow(connection: sa.Connection, model: str | None, actor: str, request_id: str | None = None) -> Roles:
    """A model is asked what it would show, and not shown; None stops that.

    Raises:
        RegistryError: there is no such model.
    """
    if model is not None:
        get(connection, model)
    _put(connection, "shadow", model, [])
    record(connection, actor, "shadow", model, request_id)
    return now(connection)


def _put(connection: sa.Connection, role: str, model: str | None, below: list[str]) -> None:
    revision = connection.execute(sa.select(roles.c.revision).where(roles.c.role == role)).scalar() or 0
    upsert(connection, roles, "role", [{"role": role, "model": model, "below": below, "revision": revision + 1, "changed": clock.time()}])


def compared(connection: sa.Connection, model: str) -> dict[str, Any]:
    """How a shadow's lists and speed compare with what was shown."""
    column = comparisons.c
    answered = sa.case((column.failed.is_(None), 1))
    row = connection.execute(
        sa.select(
            sa.func.count().label("requests"),
            sa.func.count(column.failed).label("failed"),
            sa.func.avg(answered * column.overlap).label("overlap"),
            sa.func.avg(sa.case((column.failed.is_not(None), None), (column.same_first, 1.0), else_=0.0)).label("same_first"),
            sa.func.avg(column.current_ms).label("current_ms"),
            sa.func.avg(answered * column.shadow_ms).label("shadow_ms"),
        ).where(column.shadow == model)
    )
    return {"shadow": model, **dict(row.mappings().one())}
