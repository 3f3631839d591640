"""Links: weights from the items of the history to others, summed (transitions and item neighbours)."""

# L events of a history, E links of all of them one after another, N items, M new items, K items asked for

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.bundle import mapped
from genre.serving.growing import Growing
from genre.serving.scorers import Query, Reading, Scorer, Scores
from genre.serving.scorers.recency import recency_L
from genre.types import Floats, Ints

FLOOR = 1e-6
"""As the rankers have it: what nothing points to scores between -FLOOR and 0, by popularity."""


class LinksScorer(Scorer):
    """The served form of TransitionsRanker and ItemKNNRanker."""

    def __init__(self, config: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(config)
        self.row_starts, self.columns, self.weights = state["row_starts"], state["columns"], state["weights"]
        self.floor = Growing(floor_N(state["count_N"]))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        return cls(config, mapped(folder / "state.safetensors"))

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        return LinksReading(self.summed(query.item_idx_L, recency_L(query, self.config), n), self.floor.first(n))

    def summed(self, item_idx_L: Ints, weight_L: Floats, n: int) -> npt.NDArray[np.float32]:
        """What the links of some items, each with a weight, add up to, shape (N,); added items have no links."""
        old = item_idx_L < len(self.row_starts) - 1
        item_idx_L, weight_L = item_idx_L[old], weight_L[old]
        start_L, stop_L = self.row_starts[item_idx_L], self.row_starts[item_idx_L + 1]
        if len(item_idx_L) == 0:
            return np.zeros(n, np.float32)
        slices = [slice(start, stop) for start, stop in zip(start_L.tolist(), stop_L.tolist(), strict=True)]
        column_E = np.concatenate([self.columns[part] for part in slices])
        weight_E = np.concatenate([self.weights[part] for part in slices]) * np.repeat(weight_L, stop_L - start_L)
        return np.bincount(column_E, weight_E, n).astype(np.float32)

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Scorer.extend."""
        self.floor.append(np.full(m, -FLOOR, np.float32))


class LinksReading(Reading):
    """Sums over the links, and popularity where there are none."""

    def __init__(self, sum_N: npt.NDArray[np.float32], floor_N: npt.NDArray[np.float32]) -> None:
        super().__init__(len(sum_N))
        self.sum_N, self.floor_N = sum_N, floor_N

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        sum_K = self.sum_N[item_idx_K]
        return np.where(sum_K > 0, sum_K, self.floor_N[item_idx_K])

    def all(self) -> Scores:
        """See Reading.all."""
        return np.where(self.sum_N > 0, self.sum_N, self.floor_N)


def floor_N(count_N: Floats) -> npt.NDArray[np.float32]:
    """Below every score that says something, in the order of popularity."""
    return (FLOOR * (count_N / max(float(count_N.max(initial=0)), 1e-9) - 1.0)).astype(np.float32)
