"""How sure an off-policy estimate is: bootstrap over units, empirical Bernstein bounds, and the effective sample size."""

# R requests, C clusters (units), Z resamples, P estimates

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from genre.evaluation.intervals import Interval
from genre.evaluation.off_policy.estimators import Contributions
from genre.types import Floats, Ints

CHUNK = 4_000_000
"""Draws held in memory at once."""


def bootstrap(found: Contributions, cluster_R: Ints, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """Percentile interval of an estimate over resampled units."""
    return interval(found.estimate, resampled([found], cluster_R, resamples, seed)[:, 0], level)


def resampled(parts: Sequence[Contributions], cluster_R: Ints, resamples: int = 1000, seed: int = 0) -> Floats:
    """P estimates on resamples of the same requests, shape (Z, P), so that their differences are paired.

    All requests of a unit are drawn together, since they are not independent.
    """
    sums = [by_cluster(part, cluster_R) for part in parts]
    value_CP, share_CP = (np.stack([both[side] for both in sums], axis=1) for side in (0, 1))
    n_units = len(value_CP)
    rng = np.random.default_rng(seed)
    estimate_ZP = np.empty((resamples, len(parts)))
    chunk = max(1, CHUNK // n_units)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(n_units, size=(rows, n_units)) + n_units * np.arange(rows)[:, None]
        times_ZC = np.bincount(drawn.ravel(), minlength=rows * n_units).reshape(rows, n_units).astype(np.float64)
        value_ZP, share_ZP = times_ZC @ value_CP, times_ZC @ share_CP
        # A resample without any weight has nothing to say; it takes the estimate itself.
        itself_P = np.array([part.estimate for part in parts])
        estimate_ZP[start : start + rows] = np.where(share_ZP > 0, value_ZP / np.where(share_ZP > 0, share_ZP, 1.0), itself_P)
    return estimate_ZP


def interval(estimate: float, estimate_Z: Floats, level: float = 0.95) -> Interval:
    """The middle `level` of resampled estimates."""
    low, high = np.quantile(estimate_Z, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))


def empirical_bernstein(found: Contributions, cluster_R: Ints, low: float, high: float, level: float = 0.95) -> Interval:
    """Interval that holds at any sample size, for a mean of values between `low` and `high` (Maurer and Pontil, 2009).

    Much wider than the bootstrap's: it trusts no tail that it has not seen, but for the range that it is told.

    Raises:
        ValueError: the estimate is a ratio, or a value lies outside the range.
    """
    if not (found.share_R == 1.0).all():
        raise ValueError("an empirical Bernstein bound is of a mean; this estimate is a ratio of two sums")
    if (found.value_R < low - 1e-9).any() or (found.value_R > high + 1e-9).any():
        raise ValueError(f"values run from {found.value_R.min()} to {found.value_R.max()}, outside the range {low} to {high}")
    value_C, share_C = by_cluster(found, cluster_R)
    n = len(value_C)
    if n < 2:
        return Interval(found.estimate, -math.inf, math.inf)
    # Units with more requests weigh more in the mean: in units of the mean number of requests, their sums have this mean.
    scaled_C = value_C / share_C.mean()
    ends = np.outer([low, high], [share_C.min(), share_C.max()]) / share_C.mean()
    span = float(ends.max() - ends.min())
    log_term = math.log(4.0 / (1.0 - level))
    half = math.sqrt(2.0 * float(scaled_C.var(ddof=1)) * log_term / n) + 7.0 * span * log_term / (3.0 * (n - 1))
    return Interval(found.estimate, found.estimate - half, found.estimate + half)


def effective_sample_size(weight_R: Floats) -> float:
    """How many requests of the candidate itself the weighted ones are worth (Kish, 1965): sum squared over sum of squares."""
    squares = float(np.square(weight_R).sum())
    return float(weight_R.sum()) ** 2 / squares if squares else 0.0


def by_cluster(found: Contributions, cluster_R: Ints) -> tuple[Floats, Floats]:
    """Sums a unit."""
    _, unit_R = np.unique(cluster_R, return_inverse=True)
    return np.bincount(unit_R, found.value_R).astype(np.float64), np.bincount(unit_R, found.share_R).astype(np.float64)
