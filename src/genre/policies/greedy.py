"""Greedy: the best scores first, always."""

from __future__ import annotations

import numpy as np

from genre.policies import Policy
from genre.types import Candidates, Slate


class GreedyPolicy(Policy):
    """Shows the n highest scores; equal scores in the order of the candidates."""

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """See Policy.select; every pick is certain, so every propensity is 1."""
        if np.isnan(candidates.scores_K).any():
            raise ValueError("a candidate's score is NaN: the ranker is broken for this query")
        order = np.argsort(-candidates.scores_K, kind="stable")[:n]
        return Slate(candidates.item_idx_K[order], np.ones(len(order)))
