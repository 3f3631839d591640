"""Caps: at most so many items of a category, brand or seller in a list."""

# K candidates, C categories

from __future__ import annotations

import numpy as np
from pydantic import Field, PositiveInt

from genre.policies.calibrated import category_mix
from genre.policies.placewise import PlacewisePolicy, Turn
from genre.types import Bools, Candidates, Floats


class CapsPolicy(PlacewisePolicy):
    """The best scores first, but none that would be one too many of its kind."""

    class Config(PlacewisePolicy.Config):
        use: str = "caps"
        most: dict[str, PositiveInt] = Field(default_factory=lambda: {"category": 3}, min_length=1)
        """By item column, how many items of one category a list may have."""
        fill: bool = True
        """When nothing else is left: show what is capped (True), or a shorter list (False)."""

        def attributes(self) -> tuple[str, ...]:
            """See Policy.Config.attributes."""
            return tuple(self.most)

    config: Config

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open."""
        kinds = [category_mix(candidates, attribute, "caps") > 0 for attribute in self.config.most]
        most_C = np.repeat(list(self.config.most.values()), [kind_KC.shape[1] for kind_KC in kinds])
        return CapsTurn(np.concatenate(kinds, axis=1), most_C, self.config.fill)


class CapsTurn(Turn):
    """Counts the list's items of each kind, and blocks those of a kind that is full."""

    def __init__(self, kind_KC: Bools, most_C: Floats, fill: bool) -> None:
        self.kind_KC = kind_KC
        self.left_C = most_C
        self.fill = fill
        self.blocked_K = np.zeros(len(kind_KC), bool)

    def adjust(self, score_K: Floats) -> Floats:
        """See Turn.adjust."""
        capped_K = np.where(self.blocked_K, -np.inf, score_K)
        return score_K if self.fill and capped_K.max() == -np.inf else capped_K

    def take(self, k: int) -> None:
        """See Turn.take."""
        self.left_C = self.left_C - self.kind_KC[k]
        for c in np.flatnonzero(self.kind_KC[k] & (self.left_C == 0)):
            self.blocked_K |= self.kind_KC[:, c]
