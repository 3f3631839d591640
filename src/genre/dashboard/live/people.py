"""People: how a unit of the log is called on a page, and what one did, from the store and from the training data."""

from __future__ import annotations

import sqlalchemy as sa

from genre.dashboard.desk import Desk
from genre.dashboard.lists import Did
from genre.serving.contract import PastEvent
from genre.serving.store import events
from genre.serving.store.schema import events as log

SHOWN = 25
"""Events of a history that a page shows."""


def called(unit: str) -> str:
    """A user by their id alone; sessions and strangers as the log calls them."""
    return unit.removeprefix("user:")


def unit_called(name: str) -> str:
    """The other way round."""
    return name if name.startswith("session:") or name == events.ANONYMOUS else f"user:{name}"


def who_asks(name: str) -> tuple[str | None, str | None]:
    """The user id and the session id of a name."""
    return (None, name.removeprefix("session:")) if name.startswith("session:") else (name, None)


def history(desk: Desk, name: str) -> list[PastEvent]:
    """What the engine is given of somebody."""
    user, session = who_asks(name)
    return desk.read(lambda connection: events.history(connection, user, session, desk.project.settings.history))


def done(desk: Desk, name: str, n: int = SHOWN) -> tuple[Did, ...]:
    """Everything somebody did, newest first: what the store holds, then what the model was trained on."""
    unit = unit_called(name)

    def question(connection: sa.Connection) -> list[Did]:
        known = events.person(connection, unit)
        chosen = sa.select(log).where(log.c.unit == known).order_by(log.c.time.desc(), log.c.seq.desc()).limit(n)
        return [
            Did(row["time"], row["type"], row["item_id"] or "", desk.title(row["item_id"] or ""), row["value"], row["surface"] or "")
            for row in connection.execute(chosen).mappings()
        ]

    told = desk.read(question)
    first = told[-1].time if told else float("inf")
    trained = [did for did in _trained_on(desk, name) if did.time < first]
    return tuple([*told, *trained][:n])


def _trained_on(desk: Desk, name: str) -> list[Did]:
    engine = desk.bundled
    if engine is None:
        return []
    catalogue = engine.world.catalogue
    item_idx_E, time_E = engine.world.snapshot.of(who_asks(name)[0])
    pairs = zip(item_idx_E[::-1].tolist(), time_E[::-1].tolist(), strict=True)
    return [Did(moment, "in training", catalogue.ids[i], catalogue.shown[i]) for i, moment in pairs]
