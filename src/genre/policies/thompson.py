"""Thompson sampling: each choice as likely as it is to be the best one, given what is known (Thompson, 1933; Agrawal and Goyal, 2013)."""

# K candidates, M draws, F features

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from genre.policies.bandit import BanditPolicy
from genre.policies.epsilon import mixed
from genre.policies.long_tail import ShiftTurn
from genre.policies.placewise import Turn, standardised
from genre.types import Floats, Ints


class ThompsonPolicy(BanditPolicy):
    """Draws weights from their posterior many times; a candidate's propensity is the share of draws in which it is the best.

    The pick is drawn from those shares, so the propensity is exact, not an estimate of one. Each place is drawn for itself.
    """

    explores = True

    class Config(BanditPolicy.Config):
        use: str = "thompson"
        noise: PositiveFloat = 0.2
        """Standard deviation of a reward around its expectation: more makes it explore longer. For clicks with rate p, sqrt(p(1 - p))."""
        draws: PositiveInt = 32
        """Posterior draws a slate; more make propensities finer, and cost time."""
        floor: Annotated[float, Field(ge=0, lt=1)] = 0.02
        """Share of places drawn evenly from everything: above 0, logs allow any policy to be evaluated."""

    config: Config

    def begin(self, heads_K: Ints, features_KF: Floats, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See BanditPolicy.begin."""
        value_K, width_K = self.posterior.predict(heads_K, features_KF)
        deviation_MK = np.float32(self.config.noise) * self.posterior.deviations(width_K, features_KF, self.config.draws, rng)
        if self.config.scores == "raw":
            return ThompsonTurn(value_K - score_K, deviation_MK, self.config.floor)
        spread = float(value_K.std()) or 1.0
        return ThompsonTurn(standardised(value_K) - score_K, deviation_MK / np.float32(spread), self.config.floor)


class ThompsonTurn(ShiftTurn):
    """Adds the posterior's deviations after whatever else adjusts the scores, and asks each draw for its best."""

    def __init__(self, shift_K: Floats, deviation_MK: Floats, floor: float) -> None:
        super().__init__(shift_K)
        self.deviation_MK = np.asarray(deviation_MK, np.float32)
        self.value_MK = np.empty_like(self.deviation_MK)
        self.floor = floor

    def choose(self, score_K: Floats) -> Floats:
        """See Turn.choose."""
        allowed_K = score_K > -np.inf
        if not np.count_nonzero(allowed_K):
            return np.zeros(len(score_K))
        best_M = np.add(self.deviation_MK, score_K.astype(np.float32), out=self.value_MK).argmax(axis=1)
        return mixed(np.bincount(best_M, minlength=len(score_K)) / len(best_M), allowed_K, self.floor)
