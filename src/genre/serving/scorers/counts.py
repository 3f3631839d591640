"""Counts: popularity, and what somebody had before."""

# N items, M new items, K items asked for

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.bundle import mapped
from genre.floor import FLOOR, floor_N
from genre.serving.growing import Growing
from genre.serving.scorers import Leaf, Query, Reading, Scores
from genre.serving.scorers.recency import recency_L
from genre.types import Ints


class Known(Reading):
    """Every score is there already."""

    def __init__(self, scores_N: Scores) -> None:
        super().__init__(len(scores_N))
        self.scores_N = scores_N

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        return self.scores_N[item_idx_K]

    def all(self) -> Scores:
        """See Reading.all."""
        return self.scores_N


class PopularityScorer(Leaf):
    """The served form of PopularityRanker."""

    def __init__(self, config: Mapping[str, Any], count_N: npt.NDArray[np.float32]) -> None:
        super().__init__(config)
        self.count = Growing(count_N)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        return cls(config, mapped(folder / "state.safetensors")["count_N"])

    def known(self, n: int) -> npt.NDArray[np.bool_]:
        """See Scorer.known: items that somebody touched."""
        return self.count.first(n) > 0

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        return Known(self.count.first(n))

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend."""
        self.count.append(np.zeros(m, np.float32))


class RepeatsScorer(Leaf):
    """The served form of RepeatsRanker."""

    def __init__(self, config: Mapping[str, Any], count_N: npt.NDArray[np.float32]) -> None:
        super().__init__(config)
        self.weight = Growing(((count_N + 1) ** config["popularity_power"]).astype(np.float32))
        self.floor = Growing(floor_N(count_N))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        return cls(config, mapped(folder / "state.safetensors")["count_N"])

    def known(self, n: int) -> npt.NDArray[np.bool_]:
        """See Scorer.known: items that somebody touched."""
        return self.floor.first(n) > np.float32(-FLOOR)

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        scores_N = np.array(self.floor.first(n))
        item_K, place_L = np.unique(query.item_idx_L, return_inverse=True)
        if len(item_K):
            scores_N[item_K] = np.bincount(place_L, recency_L(query, self.config)) * self.weight.first(n)[item_K]
        return Known(scores_N)

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend."""
        self.weight.append(np.ones(m, np.float32))
        self.floor.append(np.full(m, -FLOOR, np.float32))
