"""MMR: each place to what is good and unlike what is shown already (Carbonell and Goldstein, 1998)."""

# K candidates, D dimensions

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from genre.policies.placewise import PlacewisePolicy, Turn, weighed
from genre.types import Candidates, Floats


class MMRPolicy(PlacewisePolicy):
    """Maximal marginal relevance: (1 - diversity) * score - diversity * the closest cosine to an item above."""

    class Config(PlacewisePolicy.Config):
        use: str = "mmr"
        diversity: Annotated[float, Field(ge=0, le=1)] = 0.5
        """0 is greedy, 1 forgets the scores after the first place."""

    config: Config

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open."""
        return MMRTurn(unit_vectors(candidates, "mmr"), self.config.diversity)


class MMRTurn(Turn):
    """Remembers how close each candidate is to the closest item taken."""

    def __init__(self, vectors_KD: Floats, diversity: float) -> None:
        self.vectors_KD = vectors_KD
        self.diversity = diversity
        self.closest_K: Floats | None = None

    def adjust(self, score_K: Floats) -> Floats:
        """See Turn.adjust; before anything is taken there is nothing to be unlike."""
        if self.closest_K is None:
            return score_K
        return np.asarray(weighed(score_K, 1.0 - self.diversity) - self.diversity * self.closest_K)

    def take(self, k: int) -> None:
        """See Turn.take."""
        close_K = self.vectors_KD @ self.vectors_KD[k]
        self.closest_K = close_K if self.closest_K is None else np.maximum(self.closest_K, close_K)


def unit_vectors(candidates: Candidates, policy: str) -> Floats:
    """The candidates' vectors.

    Raises:
        ValueError: there are none.
    """
    if candidates.vectors_KD is None:
        raise ValueError(f"{policy} compares items by their vectors, and there are none: name an encoder under `encoders:`")
    return candidates.vectors_KD
