"""EASE: rows of the item-item weights, summed over the history."""

# L events of a history, N items, M new items, K items that take part

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
from genre.serving.scorers.counts import Known
from genre.serving.scorers.recency import recency_L


class EASEScorer(Leaf):
    """The served form of EASERanker."""

    def __init__(self, config: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(config)
        self.weight_KK, self.item_K = state["weight_KK"], np.array(state["item_K"])
        self.floor = Growing(floor_N(state["count_N"]))
        self.row_N = np.full(len(state["count_N"]), -1)
        self.row_N[self.item_K] = np.arange(len(self.item_K))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        return cls(config, mapped(folder / "state.safetensors"))

    def known(self, n: int) -> npt.NDArray[np.bool_]:
        """See Scorer.known: items that take part."""
        return np.isin(np.arange(n), self.item_K)

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        weight_L, item_L = recency_L(query, self.config), query.item_idx_L
        row_L = np.where(item_L < len(self.row_N), self.row_N[np.minimum(item_L, len(self.row_N) - 1)], -1)
        taking_part = row_L >= 0
        scores_N = np.array(self.floor.first(n))
        if taking_part.any():
            score_K = weight_L[taking_part] @ self.weight_KK[row_L[taking_part]]
            scores_N += score_K.min(initial=0)
            scores_N[self.item_K] = score_K
        return Known(scores_N)

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend."""
        self.floor.append(np.full(m, -FLOOR, np.float32))
