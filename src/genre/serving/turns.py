"""Turns: lists are made in the order in which they were asked for, so that under too much load each is late by little, or refused."""

from __future__ import annotations

import asyncio
from collections import deque

from genre.serving.answering import Problem
from genre.serving.observability import SHED


class Turns:
    """`async with turns:` waits for one's turn.

    After each turn the event loop goes round once: who arrived meanwhile is noticed, its deadline runs, and events and health checks are
    answered between two lists instead of behind all of them.

    Args:
        at_once: lists in the making; more than one where a list has to wait for the store.
        most: lists that may wait.
    """

    def __init__(self, at_once: int, most: int) -> None:
        self._free, self._most = at_once, most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        """Begin one's turn.

        Raises:
            Problem: 503, too many wait already.
        """
        if self._free:
            self._free -= 1
            return
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
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
