"""Group commit: one thread writes, and what arrives while it waits for the disk shares the next transaction."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa

from genre.serving.store.database import Database, Unavailable

T = TypeVar("T")
Work = Callable[[sa.Connection], Any]


class Writer:
    """Does pieces of work in the order they come, each all or nothing, and says when a piece is on the disk.

    Args:
        waiting: so many pieces may wait; more are refused, which is better than memory that grows until the process dies.
        together: at most so many share a transaction.
    """

    def __init__(self, database: Database, waiting: int = 1000, together: int = 64) -> None:
        self._database = database
        self._together = together
        self._queue: queue.Queue[tuple[Work, Future[Any]] | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._run, name="genre-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sa.Connection], T]) -> Future[T]:
        """Have a piece of work done; the future resolves once it is durable.

        Raises:
            Unavailable: too many wait already.
        """
        future: Future[T] = Future()
        try:
            self._queue.put_nowait((work, future))
        except queue.Full as error:
            raise Unavailable("the store is not available: too many writes are waiting") from error
        return future

    @property
    def waiting(self) -> int:
        """Pieces not begun."""
        return self._queue.qsize()

    def close(self) -> None:
        """Do what was submitted, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            last = False
            while len(group) < self._together and not last:
                try:
                    piece = self._queue.get_nowait()
                except queue.Empty:
                    break
                if piece is None:
                    last = True
                else:
                    group.append(piece)
            # What nobody waits for any more is not begun; what is begun cannot be taken back, so its future takes the result.
            self._write([piece for piece in group if piece[1].set_running_or_notify_cancel()])
            if last:
                return

    def _write(self, group: list[tuple[Work, Future[Any]]]) -> None:
        try:
            with self._database.write() as connection:
                results = [work(connection) for work, _ in group]
        except Unavailable as error:
            for _, future in group:
                future.set_exception(error)
        except Exception as error:  # whatever one piece of work raises is its caller's; the others are done without it
            if len(group) == 1:
                group[0][1].set_exception(error)
            else:
                for piece in group:
                    self._write([piece])
        else:
            for (_, future), result in zip(group, results, strict=True):
                future.set_result(result)
