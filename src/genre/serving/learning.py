"""Learning while serving: every worker teaches its heads from the logs that all share, so that all come to know the same.

A list teaches, when it is logged, that its places earned nothing; each event then adds what it is worth to the place that it belongs to.
Both are sums over lines of the logs, each of which is there once: whoever has read the same lines, in whatever order, knows the same.
"""

# S places of a list, F features

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa

from genre.serving.head import Head, Learnt, Lesson
from genre.serving.store import lessons
from genre.serving.store.database import Unavailable
from genre.serving.store.writer import Writer

SETTLED = 1.0
"""Seconds until an event without a `request_id` is looked up: lists are logged a moment after they are shown."""
PATIENCE = 60.0
"""Seconds that an event waits for the list that it names."""
SAVED_EVERY = 20.0
"""Seconds between two saved states."""


def begin(head: Head, model: str, connection: sa.Connection) -> None:
    """Go on where the last worker saved it, or from what the bundle has."""
    saved = lessons.kept(connection, f"{model}/{head.name}")
    if saved is None:
        # A store that was put back to an earlier day has lines to come whose numbers the bundle knows already.
        there = lessons.newest(connection)
        head.learnt = replace(head.begins, exposures=min(head.begins.exposures, there[0]), events=min(head.begins.events, there[1]))
    else:
        told = saved.learnt
        head.unpack(Learnt(told["exposures"], told["events"], tuple(told["waiting"])), saved.items, saved.state)


def catch_up(head: Head, connection: sa.Connection, seconds: float) -> bool:
    """Learn of everything that was logged since; False if there is more than so many seconds allow."""
    until = time.monotonic() + seconds
    while True:
        learnt = head.learnt or head.begins
        lists = lessons.lists_after(connection, learnt.exposures, head.surface)
        deeds = lessons.deeds_after(connection, learnt.events, head.learner.config.rewards, learnt.waiting)
        found = [lesson for row in lists.rows if (lesson := shown(head, row)) is not None]
        earned, waiting = _earned(head, connection, deeds.rows, time.time())
        after = Learnt(lists.until, deeds.until, waiting)
        if after != learnt:
            head.learn([*found, *earned], after)
        if lists.all and deeds.all:
            return True
        if time.monotonic() > until:
            return False


def keep(head: Head, model: str, writer: Writer) -> None:
    """Have what was learnt saved, so that who starts next need not learn it again."""
    learnt, items, state = head.packed()
    head.news, head.saved = 0, time.monotonic()
    try:
        writer.submit(partial(lessons.keep, head=f"{model}/{head.name}", learnt=asdict(learnt), items=items, state=state))
    except Unavailable:
        head.news = 1  # later, then


def shown(head: Head, row: Any) -> Lesson | None:
    """What a list teaches by itself: its places earned nothing so far."""
    places = _places(head, row)
    if places is None:
        return None
    at, features_SF = places
    return Lesson([row.item_ids[s] for s in at], features_SF[at], row.space, np.zeros(len(at)), shown=True)


def _places(head: Head, row: Any) -> tuple[list[int], Any] | None:
    """The places of a list that teach this head something, and the features of all."""
    if row.features is None or row.surface != head.surface or not head.concerns(row.head, row.variant) or not row.item_ids:
        return None
    features_SF = np.frombuffer(row.features, "<f4").reshape(len(row.item_ids), -1)
    deepest = head.learner.config.looked_at
    at = [s for s, place in enumerate(row.positions) if deepest is None or place <= deepest]
    return [s for s in at if not np.isnan(features_SF[s, 0])], features_SF


def _earned(head: Head, connection: sa.Connection, deeds: Sequence[Any], now: float) -> tuple[list[Lesson], tuple[int, ...]]:
    """What events add to the places they belong to, and which of them wait for their list."""
    lists = lessons.lists_of(connection, {deed.request_id for deed in deeds if deed.request_id is not None})
    found, waiting = [], []
    for deed in deeds:
        if deed.request_id is not None:
            row = lists.get(deed.request_id)
            late = row is None and deed.received + PATIENCE > now
        else:
            late = deed.received + SETTLED > now
            row = None if late else lessons.last_list(connection, deed.unit, deed.item_id, deed.surface, deed.time)
        if late:
            waiting.append(deed.seq)
        elif row is not None and deed.item_id in row.item_ids and (places := _places(head, row)) is not None:
            at, features_SF = places
            s = row.item_ids.index(deed.item_id)
            if s in at:
                worth = np.array([head.learner.config.rewards[deed.type]])
                found.append(Lesson([deed.item_id], features_SF[s : s + 1], row.space, worth, shown=False))
    return found, tuple(waiting)
