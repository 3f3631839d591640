"""Sample ratio mismatch: whether the arms have the sizes they should, watched from the first unit on."""

# D looks in time order, V variants

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from genre.types import Floats, Ints

CONCENTRATION = 1000.0
"""How near to the planned shares an alternative is looked for; the larger, the smaller the mismatch that is found soonest."""


@dataclass(frozen=True)
class RatioCheck:
    """Attributes: the largest e-value so far, the p-value it stands for, and at which look the alarm rang (None: it did not)."""

    evidence: float
    p: float
    alarm: int | None


def log_evidence(count_DV: Ints, share_V: Floats, concentration: float = CONCENTRATION) -> Floats:
    """Log e-value at each look: how much better the counts fit unknown shares around the planned ones than the planned ones.

    A Dirichlet mixture against a multinomial (Lindon and Malek, "Anytime-valid inference for multinomial count data", 2022). The
    chance that it ever passes 1/alpha, if the shares are as planned, is at most alpha, however often one looks.

    Raises:
        ValueError: counts and shares do not match, or shares do not sum to 1.
    """
    count_DV, share_V = np.asarray(count_DV, np.float64), np.asarray(share_V, np.float64)
    if count_DV.shape[-1] != len(share_V):
        raise ValueError(f"{count_DV.shape[-1]} counts for {len(share_V)} shares")
    if (share_V <= 0).any() or abs(share_V.sum() - 1) > 1e-9 or (count_DV < 0).any():
        raise ValueError(f"shares must be positive and sum to 1, counts must not be negative; got {share_V}")
    prior_V = concentration * share_V
    mixture = gammaln(concentration) - gammaln(concentration + count_DV.sum(-1)) + (gammaln(prior_V + count_DV) - gammaln(prior_V)).sum(-1)
    return np.asarray(mixture - (count_DV * np.log(share_V)).sum(-1))


def check_ratio(count_DV: Ints, share_V: Floats, alpha: float = 0.01, concentration: float = CONCENTRATION) -> RatioCheck:
    """Cumulative counts at each look against the planned shares."""
    log_D = log_evidence(count_DV, share_V, concentration)
    rang = np.flatnonzero(log_D >= -np.log(alpha))
    highest = float(log_D.max(initial=0.0))
    return RatioCheck(float(np.exp(min(highest, 700.0))), float(np.exp(-highest)), int(rang[0]) if len(rang) else None)
