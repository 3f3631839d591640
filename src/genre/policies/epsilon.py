"""Epsilon-greedy: the best of what is left, but now and then any other."""

# K candidates

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from genre.policies.placewise import PlacewisePolicy, Turn
from genre.types import Bools, Candidates, Floats


class EpsilonPolicy(PlacewisePolicy):
    """At each place, with probability epsilon, one of all that is left, all alike; else the best."""

    explores = True

    class Config(PlacewisePolicy.Config):
        use: str = "epsilon"
        epsilon: Annotated[float, Field(gt=0, le=1)] = 0.1
        """Share of places that are drawn at random."""

    config: Config

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open."""
        return EpsilonTurn(self.config.epsilon)


class EpsilonTurn(Turn):
    """Mixes the best with all that may be shown."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def choose(self, score_K: Floats) -> Floats:
        """See Turn.choose."""
        return mixed(super().choose(score_K), score_K > -np.inf, self.epsilon)


def mixed(probability_K: Floats, allowed_K: Bools, share: float) -> Floats:
    """A distribution of which `share` is spread evenly over everything allowed: nothing allowed is impossible."""
    return np.asarray((1.0 - share) * probability_K + share / max(1, int(np.count_nonzero(allowed_K))) * allowed_K)
