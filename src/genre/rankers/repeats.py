"""Repeats: what somebody had before comes again, the sooner the more recent and the more frequent it was (Anderson et al., 2014)."""

# B queries, N items

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat

from genre.component import Arrays
from genre.fading import faded_counts_N
from genre.floor import floor_N
from genre.rankers import Ranker
from genre.types import Bools, Histories, Training


class RepeatsRanker(Ranker):
    """The history itself, each occurrence weighted by its recency, then everything else by popularity; useless where repeats are masked."""

    class Config(Ranker.Config):
        use: str = "repeats"
        popularity_power: NonNegativeFloat = 0.25
        """Occurrences are multiplied by the item's count to this power: what sells is bought again sooner than what does not."""
        half_life_days: PositiveFloat | None = None
        """Days after which an interaction counts half in the items' counts; None counts all of them alike."""
        decay: Annotated[float, Field(gt=0, le=1)] = 0.95
        """Weight of each step of the history relative to the one after it."""
        sitting_seconds: NonNegativeFloat | None = 0.0
        """Events at most this far apart are one step (0: the same time stamp, a basket). None: each is a step."""

    config: Config

    def fit(self, training: Training, folder: Path) -> None:
        """Count, for the order of what is not in the history; see Ranker.fit."""
        self.count_N = faded_counts_N(training.histories, training.n_items, self.config.half_life_days)

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """The summed recency of each item's occurrences; items outside the history come after, by popularity."""
        from genre.rankers.neighbours import recency_BN

        scores = recency_BN(queries, len(self.count_N), self.config.decay, self.config.sitting_seconds).toarray()
        scores *= (self.count_N + 1) ** self.config.popularity_power
        return np.where(scores > 0, scores, floor_N(self.count_N))

    def known(self) -> Bools:
        """Items that somebody touched."""
        return self.count_N > 0

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """New items are in no history."""
        self.count_N = np.concatenate([self.count_N, np.zeros(m, np.float32)])

    def state(self) -> Arrays:
        """The counts."""
        return {"count_N": self.count_N}

    def restore(self, state: Arrays) -> None:
        """Take the counts back."""
        self.count_N = state["count_N"]
