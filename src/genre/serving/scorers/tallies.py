"""Tallies: the counters of now, kept up to date event by event, where `Counters` answers for any past moment."""

# N items, Q questions, H half-lives, K items of an event

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genre.fading import DAY
from genre.rankers.counters import columns_of, names_of
from genre.serving.growing import Growing
from genre.types import Floats, Ints


class Tallies:
    """What is known of each item after the last event; the same columns as Counters.at of a moment after all it has counted."""

    def __init__(self, latest: Mapping[str, npt.NDArray[Any]], half_life_days: Sequence[float]) -> None:
        """From what `Counters.latest` gave."""
        self.half_life_days = tuple(half_life_days)
        self.count, self.faded = Growing(latest["count_N"]), Growing(latest["faded_NH"])
        self.first, self.last = Growing(latest["first_N"]), Growing(latest["last_N"])
        self.total = int(latest["count_N"].sum())
        self._turn = threading.Lock()

    @property
    def names(self) -> list[str]:
        """What the columns of `at` say."""
        return names_of(self.half_life_days)

    def at(self, item_Q: Ints, now_Q: Floats) -> npt.NDArray[np.float32]:
        """See Counters.at; an item that came after the last event has had none."""
        n = self.count.n
        there_Q = item_Q < n
        row_Q = np.where(there_Q, item_Q, 0) if n else np.zeros(len(item_Q), np.int64)
        if not n:
            return columns_of(row_Q, np.zeros((len(row_Q), len(self.half_life_days))), now_Q, now_Q, now_Q, self.half_life_days)
        count_Q, last_Q = np.where(there_Q, self.count.first(n)[row_Q], 0), self.last.first(n)[row_Q]
        now_Q = np.maximum(now_Q, last_Q)  # clocks differ by a moment; an event of the future is one of now
        return columns_of(count_Q, self.faded.first(n)[row_Q], self.first.first(n)[row_Q], last_Q, now_Q, self.half_life_days)

    def observe(self, item_idx_K: Ints, when: float) -> None:
        """Count an event of each item; the order in which events come does not matter."""
        item_idx_K = np.unique(item_idx_K)
        if not len(item_idx_K):
            return
        with self._turn:
            self._grow(int(item_idx_K[-1]) + 1)
            last_K = self.last.first(self.last.n)[item_idx_K]
            newest_K = np.maximum(last_K, when)
            half_KH = DAY * np.array(self.half_life_days)
            fade_KH = 0.5 ** ((newest_K - last_K)[:, None] / half_KH)  # 0 where there was none before
            late_KH = 0.5 ** ((newest_K - when)[:, None] / half_KH)
            self.faded[item_idx_K] = self.faded.first(self.faded.n)[item_idx_K] * fade_KH + late_KH
            self.last[item_idx_K] = newest_K
            first_K = self.first.first(self.first.n)[item_idx_K]
            unmet_K = self.count.first(self.count.n)[item_idx_K] == 0
            self.first[item_idx_K] = np.where(unmet_K, when, np.minimum(first_K, when))
            self.count[item_idx_K] = self.count.first(self.count.n)[item_idx_K] + 1
            self.total += len(item_idx_K)

    def _grow(self, n: int) -> None:
        new = n - self.count.n
        if new > 0:
            never = np.full(new, -np.inf)
            self.faded.append(np.zeros((new, len(self.half_life_days))))
            self.first.append(never)
            self.last.append(never)
            self.count.append(np.zeros(new, np.int64))
