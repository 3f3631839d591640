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
from genre.serving.scorers import Query, Reading, Scorer, Scores, load_scorer
from genre.types import Ints


class BlendScorer(Scorer):
    """The served form of BlendRanker; members of weight 0 are not loaded."""

    def __init__(self, config: Mapping[str, Any], members: Sequence[Scorer], state: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(config)
        used = state["weight_M"] > 0
        self.members, self.weights, self.scales = members, state["weight_M"][used].tolist(), state["scale_M"][used].tolist()
        self.by_query = bool(state["by_query"][0])

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        state = mapped(folder / "state.safetensors")
        used = [name for name, weight in zip(config["of"], state["weight_M"].tolist(), strict=True) if weight > 0]
        return cls(config, [load_scorer(folder / "members" / name) for name in used], state)

    def leaves(self) -> Iterator[Scorer]:
        """See Scorer.leaves."""
        for member in self.members:
            yield from member.leaves()

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        return BlendReading([member.read(query, n) for member in self.members], self.weights, self.scales, self.by_query, n)

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """A blend keeps nothing about items; whoever has their content extends each of `leaves`."""
        raise NotImplementedError("extend each of leaves()")


class BlendReading(Reading):
    """The members' readings, added up."""

    def __init__(self, readings: Sequence[Reading], weights: Sequence[float], scales: Sequence[float], by_query: bool, n: int) -> None:
        super().__init__(n)
        self.readings, self.weights, self.scales, self.by_query = readings, weights, scales, by_query

    @cached_property
    def factors(self) -> tuple[list[np.float32], np.float32]:
        """What each member's scores are multiplied by, and what is subtracted from the sum."""
        if not self.by_query:
            return [np.float32(weight / scale) for weight, scale in zip(self.weights, self.scales, strict=True)], np.float32(0)
        spreads = [reading.spread() for reading in self.readings]
        factors = [weight / (spread or 1.0) for weight, (_, spread) in zip(self.weights, spreads, strict=True)]
        middle = sum(factor * mean for factor, (mean, _) in zip(factors, spreads, strict=True))
        return [np.float32(factor) for factor in factors], np.float32(middle)

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        return self._summed(reading.at(item_idx_K) for reading in self.readings)

    def all(self) -> Scores:
        """See Reading.all."""
        return self._summed(reading.all() for reading in self.readings)

    def coarse(self) -> Scores:
        """See Reading.coarse."""
        return self._summed(reading.coarse() for reading in self.readings)

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

    def _summed(self, scores: Iterable[Scores]) -> Scores:
        factors, middle = self.factors
        total: Scores | None = None
        for part, factor in zip(scores, factors, strict=True):
            total = part * factor if total is None else np.add(total, part * factor, out=total)
        assert total is not None  # some weight is above 0
        return np.subtract(total, middle, out=total) if middle else total
