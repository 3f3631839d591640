"""Long tail: scores corrected for popularity, so that rare items get a chance."""

# K candidates

from __future__ import annotations

import numpy as np
from pydantic import NonNegativeFloat

from genre.policies.placewise import PlacewisePolicy, Turn, standardised
from genre.types import Candidates, Floats


class LongTailPolicy(PlacewisePolicy):
    """Takes from each score `strength` times the log of the item's popularity, in units of its spread among the candidates."""

    class Config(PlacewisePolicy.Config):
        use: str = "long_tail"
        strength: NonNegativeFloat = 0.3
        """0 is greedy; at 1, popularity counts against an item as much as its score counts for it."""

    config: Config

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open.

        Raises:
            ValueError: the popularity of the candidates is not known, or negative.
        """
        if candidates.counts_K is None or len(candidates.counts_K) != len(candidates):
            raise ValueError("long_tail needs the training interactions of every candidate: Candidates.counts_K")
        if candidates.counts_K.min() < 0:
            raise ValueError("long_tail: an item's count of interactions is negative")
        return ShiftTurn(-self.config.strength * standardised(np.log1p(candidates.counts_K)))


class ShiftTurn(Turn):
    """Adds a constant to each candidate's score."""

    def __init__(self, shift_K: Floats) -> None:
        self.shift_K = shift_K

    def adjust(self, score_K: Floats) -> Floats:
        """See Turn.adjust."""
        return np.asarray(score_K + self.shift_K)
