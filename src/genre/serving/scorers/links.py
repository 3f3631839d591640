"""Links: weights from the items of the history to others, summed, and the root of that (transitions and item neighbours)."""

# L events of a history, E links of all of them one after another, N items, M new items, K items asked for

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.bundle import mapped
from genre.floor import FLOOR, floor_N
from genre.index import top_k
from genre.serving.growing import Growing
from genre.serving.scorers import Leaf, Query, Reading, Scores
from genre.serving.scorers.recency import recency_L
from genre.types import Floats, Ints


class LinksScorer(Leaf):
    """The served form of TransitionsRanker and ItemKNNRanker."""

    def __init__(self, config: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(config)
        self.row_starts, self.columns, self.weights = state["row_starts"], state["columns"], state["weights"]
        self.floor = Floor(state["count_N"])

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        return cls(config, mapped(folder / "state.safetensors"))

    def known(self, n: int) -> npt.NDArray[np.bool_]:
        """See Scorer.known: items that somebody touched."""
        return self.floor.values.first(n) > np.float32(-FLOOR)

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        return LinksReading(self.linked(query.item_idx_L, recency_L(query, self.config), n), self.floor, n)

    def linked(self, item_idx_L: Ints, weight_L: Floats, n: int) -> npt.NDArray[np.float32]:
        """The root of what the links of some items, each with a weight, add up to, shape (N,); added items have no links."""
        old = item_idx_L < len(self.row_starts) - 1
        item_idx_L, weight_L = item_idx_L[old], weight_L[old]
        start_L, stop_L = self.row_starts[item_idx_L], self.row_starts[item_idx_L + 1]
        if len(item_idx_L) == 0:
            return np.zeros(n, np.float32)
        slices = [slice(start, stop) for start, stop in zip(start_L.tolist(), stop_L.tolist(), strict=True)]
        column_E = np.concatenate([self.columns[part] for part in slices])
        weight_E = np.concatenate([self.weights[part] for part in slices]) * np.repeat(weight_L, stop_L - start_L)
        return np.sqrt(np.bincount(column_E, weight_E, n).astype(np.float32))

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend."""
        self.floor.append(m)


class LinksReading(Reading):
    """What the links lead to, and popularity where they lead nowhere."""

    def __init__(self, linked_N: npt.NDArray[np.float32], floor: Floor, n: int) -> None:
        super().__init__(n)
        self.linked_N, self.floor = linked_N, floor
        self.hit_K: Ints = np.flatnonzero(linked_N > 0)

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        linked_K = self.linked_N[item_idx_K]
        return np.where(linked_K > 0, linked_K, self.floor.values.first(self.n)[item_idx_K])

    def all(self) -> Scores:
        """See Reading.all."""
        scores_N = self.floor.values.first(self.n).copy()
        scores_N[self.hit_K] = self.linked_N[self.hit_K]
        return scores_N

    def nearest(self, k: int, allowed_N: npt.NDArray[np.bool_]) -> Ints:
        """See Reading.nearest; none that nothing leads to."""
        hit_K = self.hit_K[allowed_N[self.hit_K]]
        return hit_K[top_k(self.linked_N[hit_K][None], min(k, len(hit_K)))[0][0]] if len(hit_K) else hit_K

    def spread(self) -> tuple[float, float]:
        """See Reading.spread; only what was hit is looked at."""
        hit, under = self.linked_N[self.hit_K].astype(np.float64), self.floor.values.first(self.n)[self.hit_K].astype(np.float64)
        mean = (self.floor.sum + float(hit.sum() - under.sum())) / max(self.n, 1)
        square = (self.floor.squares + float(hit @ hit - under @ under)) / max(self.n, 1)
        return mean, float(np.sqrt(max(square - mean**2, 0.0)))


class Floor:
    """Below every score that says something, in the order of popularity."""

    def __init__(self, count_N: Floats) -> None:
        self.values = Growing(floor_N(count_N))
        self.sum = float(self.values.first(self.values.n).sum(dtype=np.float64))
        self.squares = float((self.values.first(self.values.n).astype(np.float64) ** 2).sum())

    def append(self, m: int) -> None:
        """New items, which nobody touched."""
        self.values.append(np.full(m, -FLOOR, np.float32))
        self.sum, self.squares = self.sum - m * FLOOR, self.squares + m * FLOOR**2
