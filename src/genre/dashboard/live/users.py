"""The users browser: who came last, and everything about one; forgetting them."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from genre.dashboard.desk import Desk, Done
from genre.dashboard.frame import Notice, count, when
from genre.dashboard.lists import Shown
from genre.dashboard.live.people import called, done, history, unit_called
from genre.dashboard.live.surfaces import arm_of, as_shown, listed
from genre.dashboard.users import User, UserLine, UsersView
from genre.serving.erasure import forget as erase
from genre.serving.store import catalogue
from genre.serving.store.events import person
from genre.serving.store.schema import assignments, events, merges

NEWEST = 5000
"""Events that the latest users are found in."""
RECENT = 25
SURFACES = 3
PLACES = 10


def fill(desk: Desk) -> UsersView:
    """A user, or who came last."""
    name = desk["user"]
    if not name:
        return UsersView(desk.frame(), recent=desk.read(_recent))
    user = _user(desk, name)
    return UsersView(desk.frame(), name, user, () if user else desk.read(_recent))


def forget(desk: Desk) -> Done:
    """Erase a person from everything that this server keeps."""
    user = desk["user"]
    if not user:
        raise ValueError("say whom to forget")
    gone = erase(desk.project.run, user, desk.who[0], desk.project.settings.database)
    said = ", ".join(f"{n:,} {what}" for what, n in gone.items()) or "nothing was known"
    return Done("/users", Notice(f"Forgotten: {said}. Your own source files are not touched; the engine forgets with its next model."))


def _recent(connection: sa.Connection) -> tuple[UserLine, ...]:
    rows = connection.execute(sa.select(events.c.unit, events.c.time).order_by(events.c.seq.desc()).limit(NEWEST)).all()
    last: dict[str, float] = {}
    for row in rows:
        last[row.unit] = max(row.time, last.get(row.unit, row.time))
    units = list(last)[:RECENT]
    counted = sa.select(events.c.unit, sa.func.count()).where(events.c.unit.in_(units)).group_by(events.c.unit)
    total = {row[0]: row[1] for row in connection.execute(counted)}
    return tuple(UserLine(called(unit), total[unit], last[unit]) for unit in units)


def _user(desk: Desk, name: str) -> User | None:
    """None if nothing at all is known of them."""
    unit = unit_called(name)
    facts, others, variants = desk.read(lambda connection: _known(connection, unit))
    did = done(desk, name)
    if not facts and not did and not others:
        return None
    kinds = Counter(one.event for one in did)
    if did:
        newest = ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common())
        facts = [("last seen", when(did[0].time)), ("of the newest events", newest), *facts]
    return User(name, tuple(facts), others, did, _lists(desk, name), variants)


def _known(connection: sa.Connection, unit: str) -> tuple[list[tuple[str, str]], tuple[str, ...], tuple[tuple[str, str], ...]]:
    told = catalogue.get_user(connection, called(unit))
    facts = [(name, str(value)) for name, value in (told.attributes if told else {}).items()]
    into = person(connection, unit)
    others = connection.execute(sa.select(merges.c.unit).where(merges.c.into_unit == into)).scalars()
    same = tuple(called(other) for other in [*others, into] if other != unit)
    chosen = sa.select(assignments.c.experiment, assignments.c.variant).where(assignments.c.unit == into).distinct()
    total = connection.execute(sa.select(sa.func.count()).select_from(events).where(events.c.unit == into)).scalar()
    if total:
        facts.insert(0, ("events received", count(total)))
    return facts, same, tuple((row.experiment, row.variant) for row in connection.execute(chosen))


def _lists(desk: Desk, name: str) -> tuple[tuple[str, tuple[Shown, ...], str], ...]:
    engine = desk.engine
    if engine is None:
        return ()
    surfaces = list(desk.bundled.placements)[:SURFACES] if desk.bundled is not None else ["default"]
    past = history(desk, name)
    arms = {surface: arm_of(desk, engine, name, surface) for surface in surfaces}
    return tuple((surface, as_shown(desk, listed(arm.engine, name, surface, past, PLACES)[0]), arm.label) for surface, arm in arms.items())
