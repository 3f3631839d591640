"""Counters: what had happened to an item before a moment, and never what happened at it or after."""

# E counted events, Q questions (an item and a moment each), H half-lives, C columns

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genre.component import Arrays
from genre.fading import DAY
from genre.types import Floats, Ints


class Counters:
    """Events sorted by item and time, with running counts that fade, so that any past moment is looked up in logarithmic time.

    Later events may be added without retraining whoever reads the counters: a question only ever sees what came strictly before it, so
    a whole log may be counted and then replayed.
    """

    def __init__(self, item_E: Ints, time_E: Floats, half_life_days: Sequence[float]) -> None:
        """Count.

        Args:
            item_E: what was touched (or shown).
            time_E: unix seconds; NaN, without a clock, is before everything.
            half_life_days: after how many days an event counts half, one column for each.
        """
        if item_E.shape != time_E.shape:
            raise ValueError(f"{item_E.shape} items, {time_E.shape} times: each event needs one of both")
        time_E = np.where(np.isnan(time_E), -np.inf, time_E).astype(np.float64)
        order = np.lexsort((time_E, item_E))
        self.item_E, self.time_E = item_E[order].astype(np.int64), time_E[order]
        self.half_life_days = tuple(half_life_days)
        self._moments = np.unique(self.time_E)
        self._key_E = self._key(self.item_E, np.searchsorted(self._moments, self.time_E))
        self._faded_HE = [running(self.item_E, self.time_E, DAY * days) for days in self.half_life_days]

    @property
    def names(self) -> list[str]:
        """What the columns of `at` say."""
        return names_of(self.half_life_days)

    @property
    def total(self) -> int:
        """Events counted."""
        return len(self.item_E)

    def at(self, item_Q: Ints, now_Q: Floats) -> npt.NDArray[np.float32]:
        """Logarithms of 1 + each counter strictly before each moment, shape (Q, H + 3); all 0 for an item that nothing had happened to.

        A moment of NaN is just after the newest event: what is known today, where there is no clock.
        """
        if not len(self.item_E):
            return np.zeros((len(item_Q), len(self.half_life_days) + 3), np.float32)
        newest = self._moments[-1]
        now_Q = np.where(np.isnan(now_Q), np.nextafter(newest, np.inf), now_Q)
        first_Q = np.searchsorted(self.item_E, item_Q, side="left")
        stop_Q = np.searchsorted(self._key_E, self._key(item_Q.astype(np.int64), np.searchsorted(self._moments, now_Q, side="left")))
        count_Q = np.maximum(stop_Q - first_Q, 0)
        first_Q, last_Q = np.minimum(first_Q, len(self.item_E) - 1), np.maximum(stop_Q - 1, 0)
        faded_QH = np.stack([faded_E[last_Q] for faded_E in self._faded_HE], axis=1) if self._faded_HE else np.empty((len(item_Q), 0))
        return columns_of(count_Q, faded_QH, self.time_E[first_Q], self.time_E[last_Q], now_Q, self.half_life_days)

    def latest(self, n_items: int) -> Arrays:
        """What is known after the last event: for each item how many, faded to its last one, and when the first and the last were."""
        item_K, first_K, count_K = np.unique(self.item_E, return_index=True, return_counts=True)
        count_N, faded_NH = np.zeros(n_items, np.int64), np.zeros((n_items, len(self.half_life_days)))
        first_N, last_N = np.full(n_items, -np.inf), np.full(n_items, -np.inf)
        end_K = first_K + count_K - 1
        count_N[item_K], first_N[item_K], last_N[item_K] = count_K, self.time_E[first_K], self.time_E[end_K]
        for column, faded_E in enumerate(self._faded_HE):
            faded_NH[item_K, column] = faded_E[end_K]
        return {"count_N": count_N, "faded_NH": faded_NH, "first_N": first_N, "last_N": last_N}

    def joined(self, item_E: Ints, time_E: Floats) -> Counters:
        """The same counters after more events."""
        items, times = np.concatenate([self.item_E, item_E]), np.concatenate([self.time_E, time_E])
        return Counters(items, np.where(np.isinf(times), np.nan, times), self.half_life_days)

    def arrays(self, name: str) -> Arrays:
        """What must be saved, under a name."""
        return {f"{name}.item_E": self.item_E, f"{name}.time_E": np.where(np.isinf(self.time_E), np.nan, self.time_E)}

    @classmethod
    def restored(cls, state: Arrays, name: str, half_life_days: Sequence[float]) -> Counters:
        """From what `arrays` gave."""
        return cls(state[f"{name}.item_E"], state[f"{name}.time_E"], half_life_days)

    def _key(self, item_Q: Ints, moment_Q: Ints) -> Ints:
        """Items and moments as one number that sorts as both do."""
        return item_Q * (len(self._moments) + 1) + moment_Q


def names_of(half_life_days: Sequence[float]) -> list[str]:
    """What the columns of counters say."""
    return ["count", *(f"count, half-life {days:g} d" for days in half_life_days), "days since the first", "days since the last"]


def columns_of(
    count_Q: Ints, faded_QH: Floats, first_Q: Floats, last_Q: Floats, now_Q: Floats, half_life_days: Sequence[float]
) -> npt.NDArray[np.float32]:
    """Logarithms of 1 + the counters of a moment, shape (Q, H + 3), from what is known of each item before it; 0 where that is nothing."""
    found_QC = np.zeros((len(count_Q), len(half_life_days) + 3), np.float32)
    some = count_Q > 0
    found_QC[some, 0] = np.log1p(count_Q[some])
    for when_Q, column in ((first_Q, -2), (last_Q, -1)):
        clocked = some & np.isfinite(when_Q)
        since = now_Q[clocked] - when_Q[clocked]
        found_QC[clocked, column] = np.log1p(since / DAY)
        if column == -1:
            for h, days in enumerate(half_life_days):
                found_QC[clocked, 1 + h] = np.log1p(faded_QH[clocked, h] * 0.5 ** (since / (DAY * days)))
    return found_QC


def running(item_E: Ints, time_E: Floats, half_life_seconds: float) -> Floats:
    """For each event, how many events of its item there were up to it, halved with every half-life in between.

    A scan by doubling: after round r each entry holds the sum over its last 2^r events.
    """
    value_E, keep_E = np.ones(len(item_E)), np.zeros(len(item_E))
    same = item_E[1:] == item_E[:-1]
    with np.errstate(invalid="ignore"):
        gap_E = np.where(same, np.diff(time_E), np.inf)
    keep_E[1:] = 0.5 ** (np.where(np.isnan(gap_E), 0.0, gap_E) / half_life_seconds)  # two events without a clock: no gap is known
    shift = 1
    while shift < len(item_E) and keep_E.any():
        value_E[shift:] += keep_E[shift:] * value_E[:-shift]
        keep_E[shift:] *= keep_E[:-shift].copy()
        keep_E[:shift] = 0.0
        shift *= 2
    return value_E
