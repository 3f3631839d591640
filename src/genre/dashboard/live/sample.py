"""The newest of the log: lists shown and what came of them, enough to say how it goes and few enough to read at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from genre.serving.store.schema import events, exposures

AT_MOST = 20_000
"""Lists, and events, that a page is made from; half a second to read."""
LIST = ("request_id", "time", "surface", "unit", "model", "item_ids", "degraded", "ms")
EVENT = ("time", "type", "unit", "item_id", "request_id", "value", "surface")


@dataclass(frozen=True)
class Sample:
    """Rows of the two logs since a moment, newest first.

    Attributes:
        since: the moment; later than the one asked for where that would have been too many rows.
        cut: whether it would.
    """

    lists: list[dict[str, Any]]
    events: list[dict[str, Any]]
    since: float
    cut: bool

    def clicked(self) -> set[str]:
        """Requests of which something was clicked."""
        return {event["request_id"] for event in self.events if event["type"] == "click" and event["request_id"]}


def newest(connection: sa.Connection, since: float, at_most: int = AT_MOST) -> Sample:
    """What was logged since a moment, or of it what is newest."""
    lists = _rows(connection, exposures, LIST, since, at_most)
    happened = _rows(connection, events, EVENT, since, at_most)
    # Whichever log is cut first says how far back the page can see: clicks of lists that are not there would count twice.
    full = [rows[-1]["time"] for rows in (lists, happened) if len(rows) == at_most]
    begin = max([since, *full])
    kept = ([row for row in rows if row["time"] >= begin] for rows in (lists, happened))
    return Sample(next(kept), next(kept), begin, bool(full))


def _rows(connection: sa.Connection, table: sa.Table, names: tuple[str, ...], since: float, at_most: int) -> list[dict[str, Any]]:
    """By seq, which every database has an index of, not by time."""
    chosen = sa.select(*(table.c[name] for name in names)).where(table.c.time >= since).order_by(table.c.seq.desc()).limit(at_most)
    return [dict(row) for row in connection.execute(chosen).mappings()]
