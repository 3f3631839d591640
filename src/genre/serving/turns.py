"""Turns: lists are made in the order in which they were asked for, so that under too much load each is late by little, or refused."""

from __future__ import annotations

import asyncio
from collections import deque

from genre.serving.answering import Problem
from genre.serving.observability import SHED

ROUNDS = 16
"""The event loop goes round at most so often between two turns: a flood of requests must not keep those that wait from being answered."""
QUIET = 4
"""And stops after so many rounds in which nobody came: as many as there are from a connection to a request that waits."""


class Turns:
    """`async with turns:` waits for one's turn.

    After each turn the event loop goes round: who arrived meanwhile is noticed, its deadline runs, and events and health checks are
    answered between two lists instead of behind all of them. It takes one new connection a round (uvloop), so while some wait it goes round
    until nobody else comes: whoever is not noticed waits in the system's queue, where no deadline runs and nobody is refused.

    Args:
        at_once: lists in the making; more than one where a list has to wait for the store.
        most: lists that may wait.
    """

    def __init__(self, at_once: int, most: int) -> None:
        self._free, self._most, self._came = at_once, most, 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        """Begin one's turn.

        Raises:
            Problem: 503, too many wait already.
        """
        if self._free:
            self._free -= 1
            return
        self._came += 1
        if len(self._waiting) >= self._most:
            SHED.inc()
            raise Problem(503, f"{self._most} lists wait already; ask again", headers={"retry-after": "1"})
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given, but nobody is there to take it
                self._next()
            raise

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        asyncio.get_running_loop().call_soon(self._look, ROUNDS, QUIET, self._came)

    def _look(self, rounds: int, quiet: int, came: int) -> None:
        if rounds and quiet and self._waiting:
            left = quiet - 1 if came == self._came else QUIET
            asyncio.get_running_loop().call_soon(self._look, rounds - 1, left, self._came)
        else:
            self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
