"""Blend: a weighted sum of other scorers, each in units of its spread."""

# N items, M new items, K items asked for

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.bundle import mapped
from genre.serving.scorers import Leaf, Query, Reading, Scorer, Scores, load_scorer
from genre.standing_in import weights_by_item
from genre.types import Ints


class BlendScorer(Scorer):
    """The served form of BlendRanker; members of weight 0 are not loaded."""

    def __init__(self, config: Mapping[str, Any], members: Sequence[Scorer], state: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(config)
        used = state["weight_M"] > 0
        self.members, self.weight_M, self.covariance_MM = members, state["weight_M"][used], state["covariance_MM"][np.ix_(used, used)]
        self.centres, self.scales = state["centre_M"][used].tolist(), state["scale_M"][used].tolist()
        self.by_query = bool(state["by_query"][0])
        self._by_item = (-1, np.zeros((len(members), 0), np.float32))

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

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        units = None if self.by_query else list(zip(self.centres, self.scales, strict=True))
        return BlendReading([member.read(query, n) for member in self.members], self.weights(n), units, n)

    def known(self, n: int) -> npt.NDArray[np.bool_] | None:
        """See Scorer.known: what some member knows."""
        found = [member.known(n) for member in self.members]
        some = [each for each in found if each is not None]
        return None if len(some) < len(found) else np.logical_or.reduce(some)

    def weights(self, n: int) -> npt.NDArray[np.float32]:
        """Each member's weight for the first n items, shape (M, N), or (M, 1) where all know all; as BlendRanker has it."""
        (asked, weight_MN) = self._by_item
        if asked == n:
            return weight_MN
        found = [member.known(n) for member in self.members]
        known_MN = np.stack(np.broadcast_arrays(*(np.ones(1, bool) if each is None or each.all() else each for each in found)))
        weight_MN = weights_by_item(self.weight_M, self.covariance_MM, known_MN)
        self._by_item = (n, weight_MN)
        return weight_MN


class BlendReading(Reading):
    """The members' readings, added up."""

    def __init__(
        self, readings: Sequence[Reading], weight_MN: npt.NDArray[np.float32], units: Sequence[tuple[float, float]] | None, n: int
    ) -> None:
        """`units` are each member's centre and scale; None: this query's own."""
        super().__init__(n)
        self.readings, self.weight_MN, self._units = readings, weight_MN, units

    @cached_property
    def units(self) -> Sequence[tuple[float, float]]:
        """What is subtracted from each member's scores, and what they are divided by then."""
        if self._units is not None:
            return self._units
        spreads = [reading.spread() for reading in self.readings]
        return [(mean, spread or 1.0) for mean, spread in spreads]

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        weight_MK = self.weight_MN if self.weight_MN.shape[1] == 1 else self.weight_MN[:, item_idx_K]
        return self._summed((reading.at(item_idx_K) for reading in self.readings), weight_MK)

    def all(self) -> Scores:
        """See Reading.all."""
        return self._summed((reading.all() for reading in self.readings), self.weight_MN)

    def coarse(self) -> Scores:
        """See Reading.coarse."""
        return self._summed((reading.coarse() for reading in self.readings), self.weight_MN)

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

    def _summed(self, scores: Iterable[Scores], weight_MK: npt.NDArray[np.float32]) -> Scores:
        total: Scores | None = None
        shift: Scores = np.zeros(1, np.float32)
        for part, weight_K, (centre, scale) in zip(scores, weight_MK, self.units, strict=True):
            # One pass a member: where all weigh the same for every item, the centres are a single number, subtracted last.
            factor_K = weight_K / np.float32(scale)
            shift = shift + factor_K * np.float32(centre)
            part = part * factor_K
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None  # some weight is above 0
        return np.subtract(total, shift, out=total)
