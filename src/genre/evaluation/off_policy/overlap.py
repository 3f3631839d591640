"""Overlap: whether a log says anything of a candidate; what to be warned of before its estimates are believed."""

# R requests

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genre.evaluation.off_policy.intervals import effective_sample_size
from genre.evaluation.off_policy.logged import Logged, NoOverlap

FEW, FEW_REWARDED, FRAGILE, MISSING = 100.0, 15.0, 0.1, 0.02
"""Effective requests, and effective requests that earned something, below which intervals are not believed; the share of weight of one
request, and the share of the candidate's choices without a trace in the log, that are warned of."""


@dataclass(frozen=True)
class Overlap:
    """How the weights are distributed.

    Attributes:
        requests: in the log; `effective` of them as good as the candidate's own, and `zero` of them impossible for the candidate.
        rewarded: the same for the requests that earned something: where clicks are rare, an estimate rests on these few.
        mean_weight: 1 but for chance if the log could have shown all that the candidate would; `mean_error` is its standard error.
        largest: the largest weight, and `largest_share` its part of the sum.
        warnings: sentences.
    """

    requests: int
    effective: float
    rewarded: float
    zero: int
    mean_weight: float
    mean_error: float
    largest: float
    largest_share: float
    warnings: tuple[str, ...]

    @property
    def missing(self) -> float:
        """Share of the candidate's choices that the log could not have shown: 1 less the mean weight, at least 0."""
        return max(0.0, 1.0 - self.mean_weight)


def overlap(logged: Logged) -> Overlap:
    """Look at the weights.

    Raises:
        NoOverlap: the candidate would have shown none of what was logged.
    """
    weight_R = logged.weight_R
    total = float(weight_R.sum())
    if total == 0.0:
        raise NoOverlap(
            f"no overlap: of {len(logged):,} logged slates the candidate could have shown none, so the log says nothing of what it would "
            "earn. Log with a policy that explores (plackett_luce, epsilon or thompson with a floor), or compare the two in an experiment"
        )
    effective, rewarded = effective_sample_size(weight_R), effective_sample_size(np.abs(weight_R * logged.total_R))
    mean, error = float(weight_R.mean()), float(weight_R.std() / np.sqrt(len(weight_R)))
    largest = float(weight_R.max())
    warnings = []
    if effective < FEW:
        warnings.append(
            f"{len(logged):,} requests are worth only {effective:,.0f} of the candidate's own: intervals are likely too narrow; "
            "log more, explore more, or evaluate a candidate that is closer to the logging policy"
        )
    elif rewarded < FEW_REWARDED:
        warnings.append(
            f"the requests that earned something are worth only {rewarded:,.1f} of the candidate's own: intervals are likely too narrow, "
            "and the estimate more likely too low than too high"
        )
    if largest / total > FRAGILE:
        warnings.append(f"one request carries {largest / total:.0%} of all weight (its weight is {largest:,.0f}): the estimate hangs on it")
    if 1.0 - mean > max(MISSING, 3.0 * error):
        warnings.append(
            f"the weights' mean is {mean:.3f}, not 1: about {1 - mean:.0%} of what the candidate would show, the log could not have shown; "
            "IPS counts that as earning nothing, SNIPS as earning the average"
        )
    elif abs(mean - 1.0) > max(0.05, 4.0 * error):
        warnings.append(
            f"the weights' mean is {mean:.3f}, and should be 1 but for chance (standard error {error:.3f}): are the logged propensities "
            "those of the policy that chose, given the items above, and was nothing changed after it?"
        )
    zero = int((weight_R == 0).sum())
    return Overlap(len(logged), effective, rewarded, zero, mean, error, largest, largest / total, tuple(warnings))
