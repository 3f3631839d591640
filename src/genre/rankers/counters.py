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
        return ["count", *(f"count, half-life {days:g} d" for days in self.half_life_days), "days since the first", "days since the last"]

    def at(self, item_Q: Ints, now_Q: Floats) -> npt.NDArray[np.float32]:
        """Logarithms of 1 + each counter strictly before each moment, shape (Q, H + 3); all 0 for an item that nothing had happened to.

        A moment of NaN is just after the newest event: what is known today, where there is no clock.
        """
        found_QC = np.zeros((len(item_Q), len(self.half_life_days) + 3), np.float32)
        if not len(self.item_E):
            return found_QC
        newest = self._moments[-1]
        now_Q = np.where(np.isnan(now_Q), np.nextafter(newest, np.inf), now_Q)
        first_Q = np.searchsorted(self.item_E, item_Q, side="left")
        stop_Q = np.searchsorted(self._key_E, self._key(item_Q.astype(np.int64), np.searchsorted(self._moments, now_Q, side="left")))
        rows = np.flatnonzero(stop_Q > first_Q)
        first, last, now = first_Q[rows], stop_Q[rows] - 1, now_Q[rows]
        found_QC[rows, 0] = np.log1p(last - first + 1)
        since_last = np.where(np.isfinite(self.time_E[last]), now - self.time_E[last], np.inf)
        for column, (days, faded_E) in enumerate(zip(self.half_life_days, self._faded_HE, strict=True), 1):
            found_QC[rows, column] = np.log1p(faded_E[last] * 0.5 ** (since_last / (DAY * days)))
        clocked = np.isfinite(self.time_E[first])
        found_QC[rows[clocked], -2] = np.log1p((now - self.time_E[first])[clocked] / DAY)
        clocked = np.isfinite(since_last)
        found_QC[rows[clocked], -1] = np.log1p(since_last[clocked] / DAY)
        return found_QC

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
