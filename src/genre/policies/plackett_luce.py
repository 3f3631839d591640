"""Plackett-Luce: each place from a softmax over what is left; explores in proportion to the score (Plackett, 1975)."""

# K candidates, n places of a slate

from __future__ import annotations

import numpy as np
from pydantic import PositiveFloat

from genre.policies.placewise import PlacewisePolicy, Turn
from genre.types import Candidates, Floats, Ints, Slate


class PlackettLucePolicy(PlacewisePolicy):
    """Samples a slate without replacement by softmax of score over temperature."""

    explores = True
    scores_alone = True

    class Config(PlacewisePolicy.Config):
        use: str = "plackett_luce"
        temperature: PositiveFloat = 0.3
        """Towards 0 it becomes greedy, towards infinity uniform; in the units of `scores`."""

    config: Config

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open."""
        return SoftmaxTurn(self.config.temperature)

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """See Policy.select. The Gumbel trick: sorting noisy logits is sampling place by place without replacement, and faster."""
        logit_K = self.checked(candidates, n) / self.config.temperature
        noisy_K = logit_K + rng.gumbel(size=len(logit_K))
        picks_n = np.argsort(-noisy_K, kind="stable")[:n]
        return Slate(candidates.item_idx_K[picks_n], np.exp(log_propensities(logit_K, picks_n)))


class SoftmaxTurn(Turn):
    """Draws by softmax, whatever the scores were adjusted by."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def choose(self, score_K: Floats) -> Floats:
        """See Turn.choose."""
        best = float(score_K.max())
        if best == -np.inf:
            return np.zeros(len(score_K))
        weight_K = np.exp((score_K - best) / self.temperature)
        return np.asarray(weight_K / weight_K.sum())


def log_propensities(logit_K: Floats, picks_n: Ints) -> Floats:
    """Log of how likely each pick was at its place, given those above it, under Plackett-Luce.

    Summed from the last place upwards: what is left at a place never comes from a difference, which would lose it to rounding.
    """
    if not len(picks_n):
        return np.empty(0)
    left_K = np.ones(len(logit_K), bool)
    left_K[picks_n] = False
    rest = np.logaddexp.reduce(logit_K[left_K]) if left_K.any() else -np.inf
    upwards = np.logaddexp.accumulate(np.concatenate([[rest], logit_K[picks_n][::-1]]))[1:][::-1]
    return np.asarray(np.minimum(logit_K[picks_n] - upwards, 0.0))
