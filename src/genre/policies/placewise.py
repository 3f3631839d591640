"""Place by place: what the candidates are worth given those taken already, and how the next one is drawn; so policies compose."""

# K candidates, n places of a slate, F features

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np

from genre.policies import Policy
from genre.types import Candidates, Floats, Ints, Slate


class Turn:
    """One slate in the making. As it stands here it is greedy; a policy overrides what it does otherwise.

    Attributes:
        features_KF: what to give back to a policy that learns, a row a candidate; None where it does not.
    """

    features_KF: Floats | None = None

    def adjust(self, score_K: Floats) -> Floats:
        """What each candidate is worth at the next place; -inf marks one that may not be shown there, and has to stay."""
        return score_K

    def choose(self, score_K: Floats) -> Floats:
        """How likely each candidate is to be shown next: sums to 1, or is all 0 if none may be."""
        probability_K = np.zeros(len(score_K))
        best = int(np.argmax(score_K))
        if score_K[best] > -np.inf:
            probability_K[best] = 1.0
        return probability_K

    def take(self, k: int) -> None:
        """Candidate k is shown at this place."""


class PlacewisePolicy(Policy):
    """A policy whose choice at each place is a known distribution over what is left, so that every propensity is exact."""

    explores: ClassVar[bool] = False
    """Whether its turns override `choose`."""

    class Config(Policy.Config):
        scores: Literal["standard", "raw"] = "standard"
        """Units in which it reads scores: the spread of each list's own (mean 0, standard deviation 1), so that settings mean the same
        for every ranker and user, or as the ranker gives them."""

    config: Config

    @abstractmethod
    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """A slate begins; `score_K` are the scores in the units asked for."""

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """See Policy.select."""
        score_K = self.checked(candidates, n)
        if not len(score_K):
            return Slate(np.empty(0, np.int64), np.empty(0))
        turn = self.open(candidates, score_K, rng)
        picks: list[int] = []
        propensities: list[float] = []
        for _ in range(min(n, len(score_K))):
            probability_K = turn.choose(turn.adjust(score_K))
            running_K = probability_K.cumsum()
            if not running_K[-1] > 0:
                break
            k = int(running_K.searchsorted(rng.random() * running_K[-1], "right"))
            turn.take(k)
            score_K[k] = -np.inf
            picks.append(k)
            propensities.append(min(float(probability_K[k]), 1.0))
        chosen = np.array(picks, np.int64)
        features_KF = turn.features_KF
        return Slate(candidates.item_idx_K[chosen], np.array(propensities), None if features_KF is None else features_KF[chosen])

    def probabilities(self, candidates: Candidates, shown: Ints, rng: np.random.Generator) -> Floats:
        """See Policy.probabilities: the same turn, taking what was shown."""
        score_K = self.checked(candidates, max(len(shown), 1))
        probability_nK = np.zeros((len(shown), len(score_K)))
        if not len(score_K):
            return probability_nK
        turn = self.open(candidates, score_K, rng)
        place_of = {item: k for k, item in enumerate(candidates.item_idx_K.tolist())}
        for place, item in enumerate(shown.tolist()):
            probability_nK[place] = turn.choose(turn.adjust(score_K))
            k = place_of.get(item)
            if k is not None:
                turn.take(k)
                score_K[k] = -np.inf
        return probability_nK

    def checked(self, candidates: Candidates, n: int) -> Floats:
        """A copy of the scores, in the units asked for.

        Raises:
            ValueError: n is below 1, or the scores are not one finite number a candidate.
        """
        score_K = np.array(candidates.scores_K, np.float64)
        if n < 1:
            raise ValueError(f"n is {n}; a slate has at least one place")
        if score_K.shape != candidates.item_idx_K.shape:
            raise ValueError(f"one score a candidate is needed: {score_K.shape} scores, {candidates.item_idx_K.shape} items")
        if not np.isfinite(score_K).all():
            broken = int(np.flatnonzero(~np.isfinite(score_K))[0])
            raise ValueError(f"the score of item {candidates.item_idx_K[broken]} is {score_K[broken]}: the ranker is broken for this query")
        return standardised(score_K) if self.config.scores == "standard" else score_K


def standardised(score_K: Floats) -> Floats:
    """Scores in units of their own spread: mean 0, standard deviation 1; all 0 where they are equal."""
    if not len(score_K):
        return score_K
    centred_K = score_K - score_K.mean()
    spread = float(np.sqrt(np.square(centred_K).mean()))
    # Rounding leaves a spread of about 1e-16 where there is none.
    return np.asarray(centred_K / spread if spread > 1e-12 * max(1.0, float(np.abs(score_K).max())) else np.zeros(len(score_K)))


def weighed(score_K: Floats, weight: float) -> Floats:
    """Scores times a weight, of which 0 makes all alike; -inf stays -inf."""
    if weight > 0:
        return np.asarray(weight * score_K)
    return np.where(score_K > -np.inf, 0.0, -np.inf)
