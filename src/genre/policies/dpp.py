"""DPP: a list whose items are good and span much, by greedy maximisation of a determinant (Chen, Zhang and Zhou, 2018)."""

# K candidates, D dimensions

from __future__ import annotations

import numpy as np
from pydantic import PositiveFloat

from genre.policies.mmr import unit_vectors
from genre.policies.placewise import PlacewisePolicy, Turn
from genre.types import Candidates, Floats

RIDGE = 0.01
"""Share of each item that no other item has, so that more items than dimensions can be told apart."""


class DPPPolicy(PlacewisePolicy):
    """Greedy MAP of a determinantal point process: each place to the item that raises the determinant of the shown ones most.

    The kernel is exp((s_i + s_j) / (2 * strength)) times the cosine. In logarithms, the gain of an item is its score plus `strength` times
    the log of the share of its vector that the items above do not explain; so it adds to other policies, and can be drawn by softmax.
    """

    class Config(PlacewisePolicy.Config):
        use: str = "dpp"
        strength: PositiveFloat = 0.3
        """Weight of what is new in an item against its score."""

    config: Config

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open."""
        return DPPTurn(unit_vectors(candidates, "dpp"), self.config.strength)


class DPPTurn(Turn):
    """An incremental Cholesky factorisation: what of each candidate is not explained by those taken."""

    def __init__(self, vectors_KD: Floats, strength: float) -> None:
        self.vectors_KD = vectors_KD
        self.strength = strength
        self.unexplained_K = np.ones(len(vectors_KD))
        self.factor_nK = np.empty((0, len(vectors_KD)))
        self.size = 0

    def adjust(self, score_K: Floats) -> Floats:
        """See Turn.adjust."""
        return np.asarray(score_K + self.strength * np.log(self.unexplained_K)) if self.size else score_K

    def take(self, k: int) -> None:
        """See Turn.take."""
        if self.size == len(self.factor_nK):
            self.factor_nK = np.concatenate([self.factor_nK, np.empty((max(16, self.size), len(self.unexplained_K)))])
        cosine_K = (1.0 - RIDGE) * (self.vectors_KD @ self.vectors_KD[k])
        cosine_K[k] = 1.0
        factor_nK = self.factor_nK[: self.size]
        row_K = (cosine_K - factor_nK[:, k] @ factor_nK) / np.sqrt(self.unexplained_K[k])
        self.factor_nK[self.size] = row_K
        self.size += 1
        # Taken items explain themselves down to rounding; the floor keeps their logarithm finite, and no one asks for it.
        self.unexplained_K = np.maximum(self.unexplained_K - np.square(row_K), 1e-9)
