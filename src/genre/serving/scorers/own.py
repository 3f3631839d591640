"""Rankers of somebody's own: asked as they are, for every item at once."""

# N items, M new items

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.rankers import Ranker
from genre.serving.scorers import Leaf, Query, Reading, Scores
from genre.serving.scorers.counts import Known
from genre.types import Histories


class OwnScorer(Leaf):
    """Any ranker that loads and scores without torch."""

    def __init__(self, config: Mapping[str, Any], ranker: Ranker) -> None:
        super().__init__(config)
        self.ranker = ranker

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        return cls(config, Ranker.load(folder))

    def encoders(self) -> tuple[str, ...]:
        """See Scorer.encoders."""
        names: tuple[str, ...] = self.ranker.config.encoders()
        return names

    def known(self, n: int) -> npt.NDArray[np.bool_] | None:
        """See Scorer.known."""
        known_N = self.ranker.known()
        return None if known_N is None else known_N[:n]

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        ends = np.array([0, len(query.item_idx_L)])
        return Known(self.ranker.score(Histories(query.item_idx_L, query.time_L, ends, np.array([query.now])))[0][:n])

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend."""
        self.ranker.extend(content_MD, m)
