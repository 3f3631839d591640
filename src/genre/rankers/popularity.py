"""Popularity: how often an item was touched, recent touches counting more."""

# B queries, N items

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import PositiveFloat

from genre.component import Arrays
from genre.fading import faded_counts_N
from genre.rankers import Ranker
from genre.types import Bools, Histories, Training


class PopularityRanker(Ranker):
    """The same list for everybody: counts, halved with every half-life that passed before the newest training interaction."""

    class Config(Ranker.Config):
        use: str = "popularity"
        half_life_days: PositiveFloat | None = None
        """Days after which an interaction counts half; None counts all of them alike, as does data without a clock."""

    config: Config

    def fit(self, training: Training, folder: Path) -> None:
        """Count; see Ranker.fit."""
        self.count_N = faded_counts_N(training.histories, training.n_items, self.config.half_life_days)

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """Counts, whatever the query; 0 for an item that nobody touched."""
        return np.tile(self.count_N, (len(queries), 1))

    def known(self) -> Bools:
        """Items that somebody touched."""
        return self.count_N > 0

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """New items count 0."""
        self.count_N = np.concatenate([self.count_N, np.zeros(m, np.float32)])

    def state(self) -> Arrays:
        """The counts."""
        return {"count_N": self.count_N}

    def restore(self, state: Arrays) -> None:
        """Take the counts back."""
        self.count_N = state["count_N"]
