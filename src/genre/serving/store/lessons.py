"""What policies learn from: lists with what they were chosen by, events with the list that they belong to; and what was learnt."""

from __future__ import annotations

import time as clock
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from genre.serving.store.events import last_event
from genre.serving.store.inserting import upsert
from genre.serving.store.schema import events, exposures, heads

TOGETHER = 500
"""Lines of a log at a time."""
WINDOW = 3600.0
"""Seconds for which an event without a `request_id` belongs to the last list that showed its item to the same person."""
LOOKED_THROUGH = 20
"""At most so many of somebody's last lists are looked through for it."""
COLUMNS = (
    exposures.c.seq, exposures.c.request_id, exposures.c.surface, exposures.c.variant, exposures.c.item_ids, exposures.c.positions,
    exposures.c.head, exposures.c.space, exposures.c.features,
)  # fmt: skip


@dataclass(frozen=True)
class Read:
    """Part of a log: the lines asked for, the line up to which there are no others, and whether that is the newest."""

    rows: list[Any]
    until: int
    all: bool


def newest(connection: sa.Connection) -> tuple[int, int]:
    """The last line of the exposure log and of the event log; 0 where there is none."""
    return last_list_shown(connection), last_event(connection)


def last_list_shown(connection: sa.Connection) -> int:
    """The last line of the exposure log; 0 if there is none."""
    return connection.execute(sa.select(sa.func.max(exposures.c.seq))).scalar() or 0


def lists_after(connection: sa.Connection, seq: int, surface: str) -> Read:
    """The next lists of a surface that a policy which learns has chosen."""
    last = last_list_shown(connection)
    if last <= seq:
        return Read([], seq, True)
    chosen = sa.select(*COLUMNS).where(exposures.c.seq > seq, exposures.c.seq <= last)
    chosen = chosen.where(exposures.c.surface == surface, exposures.c.features.is_not(None)).order_by(exposures.c.seq).limit(TOGETHER)
    rows = list(connection.execute(chosen))
    full = len(rows) == TOGETHER
    return Read(rows, rows[-1].seq if full else last, not full)


def deeds_after(connection: sa.Connection, seq: int, types: Collection[str], waiting: Sequence[int]) -> Read:
    """The next events of these types, and those that waited. What was sent of one list, item and type before is not there again."""
    last = last_event(connection)
    if last <= seq and not waiting:
        return Read([], seq, True)
    column = events.c
    wanted = sa.select(
        column.seq, column.received, column.time, column.type, column.unit, column.item_id, column.request_id, column.surface
    )
    wanted = wanted.where(column.item_id.is_not(None)).order_by(column.seq)
    after = wanted.where(column.seq > seq, column.seq <= last, column.type.in_(list(types))).limit(TOGETHER)
    rows = list(connection.execute(after)) if last > seq else []
    full = len(rows) == TOGETHER
    until = rows[-1].seq if full else last
    if waiting:
        rows = [*connection.execute(wanted.where(column.seq.in_(list(waiting)))), *rows]
    again = _again(connection, rows)
    return Read([row for row in rows if row.seq not in again], until, not full)


def _again(connection: sa.Connection, rows: Sequence[Any]) -> set[int]:
    """Which of some events are not the first of their list, item and type."""
    column = events.c
    units, requests = {row.unit for row in rows}, {row.request_id for row in rows if row.request_id is not None}
    if not requests:
        return set()
    same = (column.request_id, column.item_id, column.type)
    first = sa.select(*same, sa.func.min(column.seq).label("first")).where(
        column.unit.in_(list(units)), column.request_id.in_(list(requests))
    )
    firsts = {(row.request_id, row.item_id, row.type): row.first for row in connection.execute(first.group_by(*same))}
    return {row.seq for row in rows if row.request_id is not None and firsts[row.request_id, row.item_id, row.type] < row.seq}


def lists_of(connection: sa.Connection, request_ids: Collection[str]) -> dict[str, Any]:
    """Lists by their request."""
    found = connection.execute(sa.select(*COLUMNS).where(exposures.c.request_id.in_(list(request_ids)))) if request_ids else ()
    return {row.request_id: row for row in found}


def last_list(connection: sa.Connection, unit: str, item_id: str, surface: str | None, moment: float) -> Any | None:
    """The last list before a moment that showed an item to somebody; on one surface, if that is known."""
    column = exposures.c
    chosen = sa.select(*COLUMNS).where(column.unit == unit, column.time <= moment, column.time > moment - WINDOW)
    if surface is not None:
        chosen = chosen.where(column.surface == surface)
    rows = connection.execute(chosen.order_by(column.time.desc(), column.seq.desc()).limit(LOOKED_THROUGH))
    return next((row for row in rows if item_id in row.item_ids), None)


def keep(connection: sa.Connection, head: str, learnt: dict[str, Any], items: Sequence[str], state: bytes) -> bool:
    """Save what was learnt; False if somebody who has learnt more did so already."""
    before = kept(connection, head)
    if before is not None and lines(before.learnt) >= lines(learnt):
        return False
    upsert(connection, heads, "head", [{"head": head, "changed": clock.time(), "learnt": learnt, "items": list(items), "state": state}])
    return True


def kept(connection: sa.Connection, head: str) -> Any | None:
    """What was saved of a head: `learnt`, `items`, `state`."""
    return connection.execute(sa.select(heads).where(heads.c.head == head)).first()


def lines(learnt: dict[str, Any]) -> int:
    """How many lines of the logs went into a state."""
    return int(learnt["exposures"]) + int(learnt["events"]) - len(learnt["waiting"])
