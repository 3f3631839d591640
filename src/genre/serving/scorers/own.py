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

    def asked_in(self) -> tuple[str, str] | None:
        """See Scorer.asked_in."""
        name = self.ranker.config.asked_in()
        return None if name is None else (name, self.encoders()[0])

    def known(self, n: int) -> npt.NDArray[np.bool_] | None:
        """See Scorer.known."""
        known_N = self.ranker.known()
        return None if known_N is None else known_N[:n]

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        return Known(self.ranker.score(query.history())[0][:n])

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend."""
        self.ranker.extend(content_MD, m)
