"""Readings of several kinds as one: an average, and a text beside a history."""

# N items, K items asked for

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from genre.serving.scorers import Reading, Scores
from genre.types import Ints


class Mean(Reading):
    """The average of several readings."""

    def __init__(self, readings: Sequence[Reading], n: int) -> None:
        super().__init__(n)
        self.readings = readings

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        return _mean([reading.at(item_idx_K) for reading in self.readings])

    def all(self) -> Scores:
        """See Reading.all."""
        return _mean([reading.all() for reading in self.readings])

    def coarse(self) -> Scores:
        """See Reading.coarse."""
        return _mean([reading.coarse() for reading in self.readings])


class BesideText(Reading):
    """Closeness to a text and the ranker's scores, added, each centred and in its own spread."""

    def __init__(self, inner: Reading, close: Reading, exact: bool) -> None:
        super().__init__(inner.n)
        self.both = (inner, close)
        self.whole = [reading.all() if exact else reading.coarse() for reading in self.both]
        self.spreads = [(np.float32(scores_N.mean()), np.float32(max(scores_N.std(), 1e-9))) for scores_N in self.whole]

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        return self._added([reading.at(item_idx_K) for reading in self.both])

    def all(self) -> Scores:
        """See Reading.all."""
        return self._added([reading.all() for reading in self.both])

    def coarse(self) -> Scores:
        """See Reading.coarse."""
        return self._added(self.whole)

    def parts(self) -> Iterator[Reading]:
        """See Reading.parts."""
        yield from self.both[0].parts()

    def _added(self, scores: Sequence[Scores]) -> Scores:
        (inner, (mean, spread)), (close, (close_mean, close_spread)) = zip(scores, self.spreads, strict=True)
        return (inner - mean) / spread + (close - close_mean) / close_spread


def _mean(scores: list[Scores]) -> Scores:
    return np.asarray(np.mean(scores, axis=0), np.float32)
