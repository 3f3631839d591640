"""The arrays that estimators read: what was shown and earned, how likely it was then, and how likely the candidate would make it."""

# R requests, S places of the longest slate

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from genre.types import Bools, Floats, Ints


class NoOverlap(ValueError):
    """The log says nothing of the candidate."""


@dataclass(frozen=True)
class Predicted:
    """What a reward model says; all of shape (R, S), 0 where there is no place.

    Attributes:
        shown_RS: of the item that was shown at its place.
        given_RS: on average over what the candidate would show at that place, given the items logged above it.
        drawn_RS: on average over the slates that the candidate would show of its own accord.
    """

    shown_RS: Floats
    given_RS: Floats
    drawn_RS: Floats


@dataclass(frozen=True)
class Logged:
    """R requests with a slate of at most S places each.

    Attributes:
        reward_RS: what each place earned; 0 where there is none.
        logging_RS: how likely the pick was when it was logged, given those above it; 1 where there is none.
        target_RS: the same for the candidate.
        filled_RS: where there is a place.
        cluster_R: requests of one unit (user) share a number, and are drawn together by the bootstrap.
        predicted: what a reward model says; None where there is none.
        logging_marginal_RS, target_marginal_RS: how likely the pick was at its place whatever is above; None where unknown.
    """

    reward_RS: Floats
    logging_RS: Floats
    target_RS: Floats
    filled_RS: Bools
    cluster_R: Ints
    predicted: Predicted | None = None
    logging_marginal_RS: Floats | None = None
    target_marginal_RS: Floats | None = None

    def __post_init__(self) -> None:
        shape = self.reward_RS.shape
        if len(shape) != 2 or not shape[0]:
            raise ValueError(f"rewards need shape (requests, places) with at least one request, got {shape}")
        marginals = {"logging marginal": self.logging_marginal_RS, "target marginal": self.target_marginal_RS}
        predicted = {} if self.predicted is None else vars(self.predicted)
        named = {"logging": self.logging_RS, "target": self.target_RS, "filled": self.filled_RS, **marginals, **predicted}
        for name, array in named.items():
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, rewards {shape}")
        if self.cluster_R.shape != shape[:1]:
            raise ValueError(f"one cluster a request is needed: {self.cluster_R.shape} for {shape[0]} requests")
        _check(np.isfinite(self.reward_RS), "a reward is not finite")
        for name, probability_RS in (("logged", self.logging_RS), ("logged marginal", self.logging_marginal_RS)):
            if probability_RS is not None:
                _check(
                    (probability_RS > 0) & (probability_RS <= 1 + 1e-9),
                    f"a {name} propensity is not above 0 and at most 1, though the item was shown: the log is wrong, or was changed after",
                )
        for name, probability_RS in (("candidate's", self.target_RS), ("candidate's marginal", self.target_marginal_RS)):
            if probability_RS is not None:
                _check((probability_RS >= 0) & (probability_RS <= 1 + 1e-9), f"a {name} probability is not between 0 and 1")

    def __len__(self) -> int:
        return len(self.reward_RS)

    @property
    def places(self) -> int:
        """S, the longest slate."""
        return int(self.reward_RS.shape[1])

    @cached_property
    def weight_RS(self) -> Floats:
        """How much likelier the candidate makes the slate down to each place."""
        ratio_RS = np.where(self.filled_RS, self.target_RS / self.logging_RS, 1.0)
        return np.asarray(np.cumprod(ratio_RS, axis=1))

    @property
    def weight_R(self) -> Floats:
        """How much likelier the candidate makes each whole slate."""
        return np.asarray(self.weight_RS[:, -1])

    @property
    def total_R(self) -> Floats:
        """What each slate earned."""
        return np.asarray(self.reward_RS.sum(1))

    def as_logged(self) -> Logged:
        """The same log with the logging policy as the candidate: every weight 1."""
        return replace(self, target_RS=self.logging_RS, target_marginal_RS=self.logging_marginal_RS, predicted=None)


def _check(fine_RS: Bools, otherwise: str) -> None:
    if not fine_RS.all():
        request, place = np.argwhere(~fine_RS)[0]
        raise ValueError(f"request {request}, place {place}: {otherwise}")
