"""Policies: from scores to the slate that is shown, and how likely it was."""

# K candidates, n places of a slate

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from genre.component import Component
from genre.types import Candidates, Floats, Ints, Slate


class Policy(Component):
    """Chooses n of K candidates and says how likely each choice was."""

    kind = "policy"
    builtins: ClassVar[dict[str, str]] = {
        "greedy": "genre.policies.greedy:GreedyPolicy",
        "plackett_luce": "genre.policies.plackett_luce:PlackettLucePolicy",
        "epsilon": "genre.policies.epsilon:EpsilonPolicy",
        "linucb": "genre.policies.linucb:LinUCBPolicy",
        "thompson": "genre.policies.thompson:ThompsonPolicy",
        "mmr": "genre.policies.mmr:MMRPolicy",
        "dpp": "genre.policies.dpp:DPPPolicy",
        "calibrated": "genre.policies.calibrated:CalibratedPolicy",
        "long_tail": "genre.policies.long_tail:LongTailPolicy",
        "caps": "genre.policies.caps:CapsPolicy",
        "chain": "genre.policies.chain:ChainPolicy",
    }

    scores_alone: ClassVar[bool] = False
    """Whether it reads nothing of a candidate but its score, so that nothing else need be looked up."""

    class Config(Component.Config):
        def attributes(self) -> tuple[str, ...]:
            """Item columns whose categories it reads: `Candidates.shares` must have them."""
            return ()

    @abstractmethod
    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """At most n distinct candidates, best place first; fewer where there are fewer candidates.

        Raises:
            ValueError: a score is not finite, n is below 1, or something that the policy reads is missing.
        """

    def probabilities(self, candidates: Candidates, shown: Ints, rng: np.random.Generator) -> Floats:
        """How likely each candidate is at each place of the slate `shown`, given those above it, shape (n, K).

        Off-policy evaluation asks it of slates that another policy showed. An item of `shown` that is no candidate takes its place
        and nothing else.

        Raises:
            ValueError: this policy cannot say.
        """
        raise ValueError(f"{type(self).__name__} does not say how likely other slates are: it has no `probabilities`")

    def update(self, slate: Slate, reward_n: Floats) -> None:
        """Learn from what a slate of this policy earned, place by place; most policies have nothing to learn."""
