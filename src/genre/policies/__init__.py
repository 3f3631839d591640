"""Policies: from scores to the slate that is shown."""

# K candidates, n slate

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from genre.component import Component
from genre.types import Candidates, Slate


class Policy(Component):
    """Chooses n of K candidates and says how likely each choice was."""

    kind = "policy"
    builtins: ClassVar[dict[str, str]] = {"greedy": "genre.policies.greedy:GreedyPolicy"}

    @abstractmethod
    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """At most n distinct candidates, best place first; fewer where there are fewer candidates.

        Raises:
            ValueError: a score is NaN.
        """
