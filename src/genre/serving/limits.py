"""Limits: how large, how deep and how often."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from typing import Any

from pydantic import Field

from genre.component import Settings


class Limits(Settings):
    """What one request may cost."""

    body_bytes: int = Field(2_000_000, ge=1000)
    """Of a request's body, decompressed nowhere: larger ones are refused unread (413)."""
    batch: int = Field(1000, ge=1, le=10_000)
    """Events, items or users in one request."""
    depth: int = Field(20, ge=2, le=100)
    """How deep lists and objects of a body may nest."""
    waiting: int = Field(100, ge=1)
    """Lists that wait for their turn in a worker; one more is refused (503). Late ones are little work: the last waits half a second."""


class TooDeep(ValueError):
    """A body nests too deep."""


def check_depth(value: Any, limit: int) -> None:
    """Lists and objects nest at most so deep.

    Raises:
        TooDeep: they nest deeper.
    """
    level = [value]
    for _ in range(limit + 1):
        nested = [outer for outer in level if isinstance(outer, dict | list)]
        if not nested:
            return
        level = [inner for outer in nested for inner in (outer.values() if isinstance(outer, dict) else outer)]
    raise TooDeep(f"lists and objects nest deeper than {limit}")


class Bucket:
    """A token bucket: so many a second on average, and twice that in one burst."""

    def __init__(self, per_second: float, now: Callable[[], float] = clock.monotonic) -> None:
        self.per_second = per_second
        self._room = max(1.0, 2 * per_second)
        self._left = self._room
        self._now = now
        self._at = now()

    def take(self) -> float:
        """0 if there is a token, else the seconds until there is one."""
        now = self._now()
        self._left = min(self._room, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self.per_second
