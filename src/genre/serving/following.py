"""An engine that keeps up: it hears of every changed item and every event, whichever worker or replica wrote it."""

from __future__ import annotations

import threading
import time

import sqlalchemy as sa

from genre.serving import learning
from genre.serving.contract import Engine, EventIn, RequestError
from genre.serving.head import Head
from genre.serving.observability import ERRORS, log
from genre.serving.store import catalogue, events, exposures
from genre.serving.store.catalogue import Change
from genre.serving.store.database import Unavailable
from genre.serving.store.writer import Writer

REPLAYED = 100_000
"""At most so many events are counted again when a model starts."""
LEARNING_FIRST, LEARNING = 1.0, 0.2
"""Seconds of learning from the logs when a model starts, and at each look: what is left is learnt at the next, while the model serves."""


class Following:
    """An engine and how far it has followed the logs.

    Args:
        model: its name in the registry.
        since: when the model was registered: events from then on are news to it.
    """

    def __init__(self, engine: Engine, model: str, connection: sa.Connection, since: float) -> None:
        self.engine = engine
        self.model = model
        self._turn = threading.Lock()
        self._item_seq = catalogue.last_change(connection)
        for change in catalogue.all_items(connection):
            if change.item is None or self.engine.item(change.item_id) != change.item:
                self._apply(change)
        self._event_seq = events.received_after(connection, since, REPLAYED)
        self._shown_seq = exposures.shown_after(connection, since, REPLAYED)
        self.catch_up(connection)
        self.learn(connection)

    def catch_up(self, connection: sa.Connection) -> None:
        """Everything that was written since the last time, in the order in which it was; one thread at a time."""
        with self._turn:
            self._catch_up(connection)

    def _catch_up(self, connection: sa.Connection) -> None:
        while changes := catalogue.changes_since(connection, self._item_seq):
            for change in changes:
                self._apply(change)
            self._item_seq = changes[-1].seq
        while news := events.since(connection, self._event_seq):
            now = time.time()
            for _, event in news:
                self._observe(event, now)
            self._event_seq = news[-1][0]

    def learn(self, connection: sa.Connection) -> None:
        """Policies learn of what was logged since the last time, and rankers count it; one thread does this, and nobody waits for it."""
        while self.engine.counts_shown and (lists := exposures.since(connection, self._shown_seq)):
            for _, when, item_ids in lists:
                self.engine.showed(item_ids, when)
            self._shown_seq = lists[-1][0]
        for head in list(self.engine.heads.values()):
            seconds = LEARNING
            if head.learnt is None:
                learning.begin(head, self.model, connection)
                seconds = LEARNING_FIRST
            self._learn(head, connection, seconds)

    def keep(self, writer: Writer, *, all_of_it: bool = False) -> None:
        """Have what the policies learnt saved, now and then."""
        for head in list(self.engine.heads.values()):
            if head.news and (all_of_it or time.monotonic() > head.saved + learning.SAVED_EVERY):
                learning.keep(head, self.model, writer)

    def _learn(self, head: Head, connection: sa.Connection, seconds: float) -> None:
        try:
            learning.catch_up(head, connection, seconds)
        except Unavailable:
            raise
        except Exception:
            # A policy that cannot learn goes on as it is, and so does whoever serves with it.
            ERRORS.labels("learn").inc()
            log.exception("policy did not learn", model=self.model, head=head.name)

    def _apply(self, change: Change) -> None:
        try:
            if change.item is None:
                self.engine.delete_item(change.item_id)
            else:
                self.engine.upsert_item(change.item)
        except RequestError as error:  # told to the caller when it was sent, unless another model was serving then
            log.warning("item refused", model=self.model, item_id=change.item_id, where=error.where, why=error.why)
        except Exception:
            # One item must not keep the engine from all that follow.
            ERRORS.labels("item").inc()
            log.exception("item failed", model=self.model, item_id=change.item_id)

    def _observe(self, event: EventIn, now: float) -> None:
        try:
            self.engine.observe(event, now)
        except Exception:
            ERRORS.labels("observe").inc()
            log.exception("event failed", model=self.model, event_id=event.event_id)
