"""LinUCB: optimism in the face of uncertainty; what is not known well is shown more (Li, Chu, Langford and Schapire, 2010)."""

# K candidates, F features

from __future__ import annotations

import numpy as np
from pydantic import NonNegativeFloat

from genre.policies.bandit import BanditPolicy
from genre.policies.long_tail import ShiftTurn
from genre.policies.placewise import Turn, standardised
from genre.types import Floats, Ints


class LinUCBPolicy(BanditPolicy):
    """The highest upper bounds on the expected reward first. Draws nothing: its propensities are 1, and its logs say nothing of others."""

    class Config(BanditPolicy.Config):
        use: str = "linucb"
        alpha: NonNegativeFloat = 0.3
        """How many posterior standard deviations the bound lies above the expected reward."""

    config: Config

    def begin(self, heads_K: Ints, features_KF: Floats, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See BanditPolicy.begin."""
        value_K, width_K = self.posterior.predict(heads_K, features_KF)
        bound_K = value_K + self.config.alpha * width_K
        return ShiftTurn((standardised(bound_K) if self.config.scores == "standard" else bound_K) - score_K)
