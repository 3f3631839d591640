"""Trends: what is touched now, counted as events arrive, on top of what was touched when the bundle was made."""

# N items, K best

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from genre.bundle import mapped
from genre.index import top_k
from genre.serving.columns import Mask
from genre.serving.growing import Growing
from genre.types import Ints

HALF_LIFE = 7 * 86_400.0
"""Seconds after which an event counts half; as the bundle's counts of recent events have it."""
OLDEST = 30 * 86_400.0
"""Events older than this, or from the future, count as if they were at that border: clocks go wrong."""
KEPT = 2000
"""Best items kept in order, so that most requests sort nothing."""
EVERY = 1.0
"""Seconds that the kept order may be old."""


class Standing:
    """Items in the order of a number each, the highest first; NaN is in no list."""

    def __init__(self, values_N: npt.NDArray[np.float64]) -> None:
        self.values = Growing(values_N)
        self.touched = 0
        self._kept: tuple[int, float, Ints] = (-1, 0.0, np.empty(0, np.int64))

    def best(self, allowed_N: Mask, k: int) -> Ints:
        """The k best of the allowed items."""
        kept = self._order(len(allowed_N))
        found: Ints = kept[allowed_N[kept]][:k]
        if len(found) == k or len(allowed_N) <= KEPT:
            return found
        passing = np.flatnonzero(allowed_N)
        order = top_k(self.values.first(len(allowed_N))[passing][None], k)[0][0]
        best: Ints = passing[order[order >= 0]]
        return best

    def _order(self, n: int) -> Ints:
        touched, when, order = self._kept
        if touched != self.touched and (time.monotonic() - when > EVERY or touched < 0):
            order = top_k(self.values.first(self.values.n)[None], KEPT)[0][0]
            self._kept = (self.touched, time.monotonic(), order[order >= 0])
            order = self._kept[2]
        return order[order < n]


class Trends:
    """Decayed counts: an event at time t counts 2^((t - origin) / half-life), which keeps the order of counts that fade with time."""

    def __init__(self, recent_N: npt.NDArray[np.float32], last: float) -> None:
        self.standing = Standing(recent_N.astype(np.float64))
        self.origin = last

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a bundle."""
        state = mapped(folder / "counts.safetensors")
        return cls(state["recent_N"], float(state["last"][0]))

    def observe(self, item_idx: int, when: float, now: float) -> None:
        """Count an event."""
        if np.isnan(self.origin):
            self.origin = now
        when = min(max(when, now - OLDEST), now)
        self.standing.values[item_idx] += 2.0 ** min((when - self.origin) / HALF_LIFE, 1000.0)
        self.standing.touched += 1

    def append(self) -> None:
        """A new item, touched by nobody."""
        self.standing.values.append(np.zeros(1))
        self.standing.touched += 1
