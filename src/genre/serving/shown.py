"""The lists just shown, on their way to the log: answers do not wait for the disk, and nothing is lost while it is away."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future

import sqlalchemy as sa

from genre.serving.observability import EXPOSURES, log
from genre.serving.store.database import Unavailable
from genre.serving.store.exposures import Shown, append
from genre.serving.store.writer import Writer

ROOM = 20_000
"""So many lists are kept while the store is away; then the oldest are dropped, and counted."""
TOGETHER = 500
LINGER = 0.25
"""Seconds in which lists are gathered before they are written: one commit for all of them costs little more than one for each."""


class ShownLists:
    """A queue before the exposure log. What is in it when the process is killed is lost: the last half second's at most.

    Whoever owns it calls `flush` twice a second, so that the last lists before a silence are written too.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: deque[Shown] = deque()
        self._busy = threading.Lock()
        self._began = 0.0

    def add(self, shown: Shown) -> None:
        """Log a list soon."""
        if len(self._waiting) >= ROOM:
            self._waiting.popleft()
            EXPOSURES.labels("dropped").inc()
        self._waiting.append(shown)
        if time.monotonic() - self._began > LINGER:
            self.flush()

    def flush(self) -> None:
        """Have what waits written, unless that is under way already."""
        if self._waiting and self._busy.acquire(blocking=False):
            self._began = time.monotonic()
            try:
                self._writer.submit(self._write).add_done_callback(self._written)
            except Unavailable:
                self._busy.release()

    def close(self) -> None:
        """Have all of it written, as far as the store takes it."""
        left = len(self._waiting) + 1
        while 0 < len(self._waiting) < left:
            left = len(self._waiting)
            self.flush()
            with self._busy:  # until it is written, or cannot be
                pass

    def __len__(self) -> int:
        return len(self._waiting)

    def _write(self, connection: sa.Connection) -> list[Shown]:
        taken = [self._waiting[at] for at in range(min(TOGETHER, len(self._waiting)))]
        append(connection, taken)
        return taken

    def _written(self, done: Future[list[Shown]]) -> None:
        error = done.exception()
        if error is None:
            taken = {id(shown) for shown in done.result()}
            while self._waiting and id(self._waiting[0]) in taken:
                self._waiting.popleft()
            EXPOSURES.labels("logged").inc(len(taken))
        else:
            log.warning("exposures wait for the store", waiting=len(self._waiting), reason=str(error))
        self._busy.release()
        if error is None and len(self._waiting) >= TOGETHER:
            self.flush()
