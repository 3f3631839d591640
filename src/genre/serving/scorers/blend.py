"""Blend: a weighted sum of other scorers, each in units of its spread."""

# N items, M members, P patterns of who knows an item, K items asked for

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.bundle import mapped
from genre.serving.scorers import Leaf, Query, Reading, Scorer, Scores, load_scorer
from genre.standing_in import standing_in
from genre.types import Bools, Floats, Ints


class BlendScorer(Scorer):
    """The served form of BlendRanker; members of weight 0 are not loaded."""

    def __init__(self, config: Mapping[str, Any], members: Sequence[Scorer], state: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(config)
        used = state["weight_M"] > 0
        self.members, self.weight_M, self.covariance_MM = members, state["weight_M"][used], state["covariance_MM"][np.ix_(used, used)]
        self.scale_M = None if state["by_query"][0] else state["scale_M"][used]
        self._speakers: tuple[int, Speakers] | None = None

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        state = mapped(folder / "state.safetensors")
        used = [name for name, weight in zip(config["of"], state["weight_M"].tolist(), strict=True) if weight > 0]
        return cls(config, [load_scorer(folder / "members" / name) for name in used], state)

    def leaves(self) -> Iterator[Leaf]:
        """See Scorer.leaves."""
        for member in self.members:
            yield from member.leaves()

    def counts(self) -> frozenset[str]:
        """See Scorer.counts."""
        return frozenset[str]().union(*(member.counts() for member in self.members))

    def observe(self, what: str, item_idx_K: Ints, when: float) -> None:
        """See Scorer.observe."""
        for member in self.members:
            member.observe(what, item_idx_K, when)

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        return BlendReading([member.read(query, n) for member in self.members], self.weight_M, self.scale_M, self.speakers(n), n)

    def known(self, n: int) -> npt.NDArray[np.bool_] | None:
        """See Scorer.known: what some member knows."""
        found = [member.known(n) for member in self.members]
        some = [each for each in found if each is not None]
        return None if len(some) < len(found) else np.logical_or.reduce(some)

    def speakers(self, n: int) -> Speakers:
        """Who speaks for whom about the first n items."""
        if self._speakers is None or self._speakers[0] != n:
            found = [member.known(n) for member in self.members]
            known_MN = np.stack(np.broadcast_arrays(*(np.ones(1, bool) if each is None or each.all() else each for each in found)))
            self._speakers = n, Speakers(self.covariance_MM, known_MN)
        return self._speakers[1]


class Speakers:
    """Who speaks for whom about which item, see standing_in."""

    def __init__(self, covariance_MM: Floats, known_MN: Bools) -> None:
        self.share_PMM, self.pattern_N = standing_in(covariance_MM, known_MN)
        self._most = int(np.bincount(self.pattern_N).argmax())
        self._others = [(p, np.flatnonzero(self.pattern_N == p)) for p in range(len(self.share_PMM)) if p != self._most]

    def everywhere(self, value_P: Scores) -> Scores:
        """Each item's value, shape (N,), or (1,) where every member knows every item. Most items are of one pattern: faster than to look
        up each one's."""
        value_N = np.full(len(self.pattern_N), value_P[self._most])
        for p, items in self._others:
            value_N[items] = value_P[p]
        return value_N

    def at(self, value_P: Scores, item_idx_K: Ints) -> Scores:
        """The values of some items, shape (K,) or (1,)."""
        return value_P[self.pattern_N if len(self.pattern_N) == 1 else self.pattern_N[item_idx_K]]


class BlendReading(Reading):
    """The members' readings, added up."""

    def __init__(self, readings: Sequence[Reading], weight_M: Floats, scale_M: Floats | None, speakers: Speakers, n: int) -> None:
        """`scale_M` are the units of the members' scores; None: this query's own spread."""
        super().__init__(n)
        self.readings, self.weight_M, self.scale_M, self.speakers = readings, weight_M, scale_M, speakers

    @cached_property
    def factors(self) -> tuple[Scores, Scores]:
        """What each member's scores are multiplied by, by pattern, shape (M, P), and what is subtracted from their sum, shape (P,)."""
        mean_M, spread_M = np.array([reading.spread() for reading in self.readings]).T
        weight_M = self.weight_M if self.scale_M is None else self.weight_M * spread_M / self.scale_M
        factor_MP = (self.speakers.share_PMM @ weight_M).T / np.where(spread_M > 0, spread_M, 1)[:, None]
        return factor_MP.astype(np.float32), (mean_M @ factor_MP).astype(np.float32)

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        return self._summed((reading.at(item_idx_K) for reading in self.readings), lambda value_P: self.speakers.at(value_P, item_idx_K))

    def all(self) -> Scores:
        """See Reading.all."""
        return self._summed((reading.all() for reading in self.readings), self.speakers.everywhere)

    def coarse(self) -> Scores:
        """See Reading.coarse."""
        return self._summed((reading.coarse() for reading in self.readings), self.speakers.everywhere)

    @property
    def indexed(self) -> bool:
        """See Reading.indexed."""
        return any(reading.indexed for reading in self.readings)

    def nearest(self, k: int, allowed_N: npt.NDArray[np.bool_]) -> Ints:
        """See Reading.nearest: the best of each member."""
        return np.unique(np.concatenate([reading.nearest(k, allowed_N) for reading in self.readings]))

    def parts(self) -> Iterator[Reading]:
        """See Reading.parts."""
        for reading in self.readings:
            yield from reading.parts()

    def _summed(self, scores: Iterable[Scores], laid_out: Callable[[Scores], Scores]) -> Scores:
        factor_MP, shift_P = self.factors
        total: Scores | None = None
        for part, factor_P in zip(scores, factor_MP, strict=True):
            part = part * laid_out(factor_P)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None  # some weight is above 0
        return np.subtract(total, laid_out(shift_P), out=total)
