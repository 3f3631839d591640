"""Greedy: the best scores first, always."""

# K candidates

from __future__ import annotations

import numpy as np

from genre.policies.placewise import PlacewisePolicy, Turn
from genre.types import Candidates, Floats, Slate


class GreedyPolicy(PlacewisePolicy):
    """Shows the n highest scores; equal scores in the order of the candidates."""

    scores_alone = True

    class Config(PlacewisePolicy.Config):
        use: str = "greedy"

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """See Policy.select; sorted at once, which is the same place by place and faster."""
        best_n = np.argsort(-self.checked(candidates, n), kind="stable")[:n]
        return Slate(candidates.item_idx_K[best_n], np.ones(len(best_n)))

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open; every pick is certain, so every propensity is 1."""
        return Turn()
