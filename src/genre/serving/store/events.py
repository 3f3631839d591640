"""The event log: added to once per `event_id`, read back as a unit's recent history, merged when two units are one person."""

from __future__ import annotations

import time as clock
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from genre.serving.contract import SILENT, EventIn, PastEvent
from genre.serving.store.assignments import keep_variant
from genre.serving.store.database import fetched
from genre.serving.store.inserting import Row, insert_new, upsert
from genre.serving.store.schema import events, exposures, merges

ANONYMOUS = "anonymous"


def unit_of(user_id: str | None, session_id: str | None) -> str:
    """Whose history an event joins: the user's if there is one, else the session's. The prefixes keep ids of the two kinds apart."""
    if user_id is not None:
        return f"user:{user_id}"
    return ANONYMOUS if session_id is None else f"session:{session_id}"


def append(connection: sa.Connection, rows: Sequence[Row]) -> int:
    """Log events (columns of the table, without `seq` and `unit`), and count those that were new.

    An event of a unit that was merged into another joins the other's history.
    """
    units = [unit_of(row["user_id"], row["session_id"]) for row in rows]
    into = canonical(connection, set(units))
    return insert_new(
        connection, events, "event_id", [{**row, "unit": into.get(unit, unit)} for row, unit in zip(rows, units, strict=True)]
    )


def canonical(connection: sa.Connection, units: Collection[str]) -> dict[str, str]:
    """Where merged units went, of those that were merged."""
    found = connection.execute(sa.select(merges.c.unit, merges.c.into_unit).where(merges.c.unit.in_(list(units))))
    return {row.unit: row.into_unit for row in found}


def person(connection: sa.Connection, unit: str) -> str:
    """Where a unit went, or itself if it was not merged."""
    return canonical(connection, [unit]).get(unit, unit)


UNIT: sa.BindParameter[str] = sa.bindparam("unit")
HISTORY = (
    sa.select(events.c.item_id, events.c.time, events.c.type, events.c.seq)
    .where(events.c.unit == sa.func.coalesce(sa.select(merges.c.into_unit).where(merges.c.unit == UNIT).scalar_subquery(), UNIT))
    .where(events.c.item_id.is_not(None), *(events.c.type != kind for kind in sorted(SILENT)))
    .order_by(events.c.time.desc(), events.c.seq.desc())
    .limit(sa.bindparam("n"))
)


def history(connection: sa.Connection, user_id: str | None, session_id: str | None, n: int) -> list[PastEvent]:
    """What a user and their session did last, oldest first, at most n events; of a stranger nothing."""
    units = [unit_of(*pair) for pair in ((user_id, None), (None, session_id)) if pair != (None, None)]
    found = [tuple(row) for unit in units for row in fetched(connection, HISTORY, {"unit": unit, "n": n})]
    if len(units) == 2:  # a session merged into this very user gives the same events again
        found = sorted(set(found), key=lambda row: (row[1], row[3]), reverse=True)[:n]
    return [PastEvent(item_id, time, kind) for item_id, time, kind, _ in reversed(found)]


def merge(connection: sa.Connection, unit: str, into_unit: str) -> int:
    """One unit becomes another: its events, past and future, are the other's. Returns how many events moved.

    Raises:
        ValueError: it would be merged into itself.
    """
    into_unit = person(connection, into_unit)
    if into_unit == unit:
        raise ValueError("a user cannot be merged into itself, nor into one that was merged into it")
    keep_variant(connection, unit, into_unit)
    connection.execute(merges.update().where(merges.c.into_unit == unit).values(into_unit=into_unit))
    upsert(connection, merges, "unit", [{"unit": unit, "into_unit": into_unit, "time": clock.time()}])
    connection.execute(exposures.update().where(exposures.c.unit == unit).values(unit=into_unit))
    return connection.execute(events.update().where(events.c.unit == unit).values(unit=into_unit)).rowcount


def since(connection: sa.Connection, seq: int, limit: int = 5000) -> list[tuple[int, EventIn]]:
    """Events logged after a seq, in order of commit: what online learning follows."""
    chosen = sa.select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    known = [name for name in EventIn.model_fields if name != "props"]
    return [
        (row["seq"], EventIn.model_construct(props=row["props"] or {}, **{name: row[name] for name in known}))
        for row in connection.execute(chosen).mappings()
    ]


def last_event(connection: sa.Connection) -> int:
    """The seq of the newest event; 0 if there is none."""
    return connection.execute(sa.select(sa.func.max(events.c.seq))).scalar() or 0


def received_after(connection: sa.Connection, moment: float, at_most: int) -> int:
    """The seq after which to follow, to see all that came since a moment but not more than so many events."""
    newest = last_event(connection)
    first = connection.execute(sa.select(sa.func.min(events.c.seq)).where(events.c.received > moment, events.c.seq > newest - at_most))
    return (first.scalar() or newest + 1) - 1
