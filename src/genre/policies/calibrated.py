"""Calibrated: a list with the user's own mix of categories (Steck, 2018)."""

# K candidates, C categories, E pairs of a candidate and a category of its own

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from genre.policies.placewise import PlacewisePolicy, Turn, weighed
from genre.types import Candidates, Floats

SMOOTHING = 0.01
"""Share of the user's own mix in the list's, so that a category not shown yet has a finite price."""


class CalibratedPolicy(PlacewisePolicy):
    """Each place to the item that is best in score less the divergence of the list's category mix from the user's."""

    class Config(PlacewisePolicy.Config):
        use: str = "calibrated"
        attribute: str = "category"
        """The item column; several categories are separated by `|`."""
        weight: Annotated[float, Field(ge=0, le=1)] = 0.5
        """(1 - weight) * score - weight * KL divergence in nats: 0 is greedy, 1 sees the mix only."""

        def attributes(self) -> tuple[str, ...]:
            """See Policy.Config.attributes."""
            return (self.attribute,)

    config: Config

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open; whoever has no history has no mix to be true to, and is served greedily."""
        share_KC = category_mix(candidates, self.config.attribute, "calibrated")
        wanted_C = candidates.history_shares.get(self.config.attribute)
        if wanted_C is None or not wanted_C.sum() > 0:
            return Turn()
        # Only categories of the user's mix have a part in the divergence.
        own_C = wanted_C > 0
        return CalibratedTurn(share_KC[:, own_C], wanted_C[own_C] / wanted_C.sum(), self.config.weight)


class CalibratedTurn(Turn):
    """Remembers the mix of the list so far."""

    def __init__(self, share_KC: Floats, wanted_C: Floats, weight: float) -> None:
        self.share_KC, self.wanted_C = np.asarray(share_KC, np.float64), np.asarray(wanted_C, np.float64)
        # A candidate changes the list's share of its own categories only, and has few.
        self.k_E, self.c_E = np.nonzero(share_KC)
        self.share_E, self.wanted_E = self.share_KC[self.k_E, self.c_E], self.wanted_C[self.c_E]
        self.entropy = float(self.wanted_C @ np.log(self.wanted_C))
        self.shown_C = np.zeros(len(wanted_C))
        self.places = 0
        self.weight = weight

    def adjust(self, score_K: Floats) -> Floats:
        """See Turn.adjust."""
        return np.asarray(weighed(score_K, 1.0 - self.weight) - self.weight * self.divergence_K())

    def divergence_K(self) -> Floats:
        """KL divergence of the list's mix from the user's, were each candidate the next."""
        part = (1 - SMOOTHING) / (self.places + 1)
        without_C = part * self.shown_C + SMOOTHING * self.wanted_C
        log_C = np.log(without_C)
        more_E = self.wanted_E * (np.log(without_C[self.c_E] + part * self.share_E) - log_C[self.c_E])
        return np.asarray(self.entropy - self.wanted_C @ log_C - np.bincount(self.k_E, more_E, len(self.share_KC)))

    def take(self, k: int) -> None:
        """See Turn.take."""
        self.shown_C = self.shown_C + self.share_KC[k]
        self.places += 1


def category_mix(candidates: Candidates, attribute: str, policy: str) -> Floats:
    """The candidates' categories, shape (K, C).

    Raises:
        ValueError: the column is not there.
    """
    if attribute not in candidates.shares:
        there = ", ".join(candidates.shares) or "none"
        raise ValueError(f"{policy} reads the item column {attribute!r}, but the candidates have {there}")
    return candidates.shares[attribute]
