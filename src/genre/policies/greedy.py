"""Greedy: the best scores first, always."""

# K candidates

from __future__ import annotations

import numpy as np

from genre.policies.placewise import PlacewisePolicy, Turn
from genre.types import Candidates, Floats


class GreedyPolicy(PlacewisePolicy):
    """Shows the n highest scores; equal scores in the order of the candidates."""

    class Config(PlacewisePolicy.Config):
        use: str = "greedy"

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open; every pick is certain, so every propensity is 1."""
        return Turn()
