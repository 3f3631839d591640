"""How sure a mean over users is: bootstrap intervals, of one system and of the difference between two on the same users."""

# U users, M metrics, S seeds, R resamples

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genre.evaluation.metrics import Values

CHUNK = 4_000_000
"""Draws held in memory at once."""


@dataclass(frozen=True)
class Interval:
    """A mean over users with its bootstrap interval."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval's width, the ± of a printed value."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        return f"{self.mean:.4f} ±{self.half:.{3 if self.half >= 0.001 else 4}f}"


def bootstrap(value_UM: Values, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> list[Interval]:
    """Percentile intervals of M means over the same users, who are drawn with replacement.

    One user has an interval of no width, which says that nothing is known of the spread.

    Raises:
        ValueError: no users, or a NaN among the values.
    """
    if value_UM.ndim != 2 or not len(value_UM):
        raise ValueError(f"values need shape (users, metrics) with at least one user, got {value_UM.shape}")
    if np.isnan(value_UM).any():
        raise ValueError(f"metric column {int(np.isnan(value_UM).any(0).argmax())} has NaN values: drop those users and count them")
    rng = np.random.default_rng(seed)
    n_users = len(value_UM)
    mean_RM = np.empty((resamples, value_UM.shape[1]))
    chunk = max(1, CHUNK // n_users)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        # How often each user was drawn; one product with the values then serves every metric.
        drawn = rng.integers(n_users, size=(rows, n_users)) + n_users * np.arange(rows)[:, None]
        times_RU = np.bincount(drawn.ravel(), minlength=rows * n_users).reshape(rows, n_users)
        mean_RM[start : start + rows] = times_RU @ value_UM / n_users
    low_M, high_M = np.quantile(mean_RM, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean_M = value_UM.mean(0)
    return [Interval(float(m), float(low), float(high)) for m, low, high in zip(mean_M, low_M, high_M, strict=True)]


def paired_difference(ours_SUM: Values, theirs_SUM: Values, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> list[Interval]:
    """Intervals of `ours - theirs` a metric, user by user on the mean over seeds; the number of seeds may differ.

    Users are paired because most of the spread between users is common to both systems and cancels.
    """
    ours_UM, theirs_UM = ours_SUM.mean(0), theirs_SUM.mean(0)
    if ours_UM.shape != theirs_UM.shape:
        raise ValueError(f"a paired difference needs the same users and metrics, got {ours_UM.shape} and {theirs_UM.shape}")
    return bootstrap(ours_UM - theirs_UM, resamples, level, seed)


def seed_spread(value_SUM: Values) -> Values:
    """Standard deviation over seeds of each mean, shape (M,): what another seed alone would change. NaN for one seed."""
    if len(value_SUM) < 2:
        return np.full(value_SUM.shape[2], np.nan)
    return np.asarray(value_SUM.mean(1).std(0, ddof=1))
