"""Moments: what is known of an arm's units, and the effect between two arms; ratios by the delta method, CUPED if asked."""

# U units; the last axis K = 4 of a unit's sums: numerator, denominator, and the same two before its first exposure.
# Every function takes leading axes (days, simulations, ...) as they come.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genre.experiments.cuped import slope
from genre.types import Floats


@dataclass(frozen=True)
class Moments:
    """An arm: how many units, the means of their four sums, and the unbiased covariance between these."""

    n: Floats
    mean_K: Floats
    cov_KK: Floats

    @classmethod
    def of(cls, sums_UK: Floats) -> Moments:
        """Of units' sums, shape (U, 4).

        Raises:
            ValueError: fewer than two units, or a value that is not finite.
        """
        if sums_UK.ndim != 2 or sums_UK.shape[1] != 4:
            raise ValueError(f"sums need shape (units, 4): numerator, denominator and both before; got {sums_UK.shape}")
        if len(sums_UK) < 2:
            raise ValueError(f"an arm needs at least two units to say how much they vary; it has {len(sums_UK)}")
        if not np.isfinite(sums_UK).all():
            row = int(np.flatnonzero(~np.isfinite(sums_UK).all(1))[0])
            raise ValueError(f"unit {row} has a sum that is not finite: a value of its events is NaN or too large")
        return cls(np.asarray(float(len(sums_UK))), sums_UK.mean(0), np.cov(sums_UK, rowvar=False))

    @property
    def value(self) -> Floats:
        """The metric: numerator over denominator."""
        return _over(self.mean_K[..., 0], self.mean_K[..., 1])

    @property
    def before(self) -> Floats:
        """The metric before exposure; 0 where nothing is known."""
        return _over(self.mean_K[..., 2], self.mean_K[..., 3])

    def gradients(self) -> tuple[Floats, Floats]:
        """How the metric, and the metric before, move with the four means (the delta method), each of shape (..., 4)."""
        zero = np.zeros_like(self.mean_K[..., 0])
        now = _over(np.ones_like(zero), self.mean_K[..., 1])
        then = _over(np.ones_like(zero), self.mean_K[..., 3])
        return (
            np.stack([now, -self.value * now, zero, zero], -1),
            np.stack([zero, zero, then, -self.before * then], -1),
        )


@dataclass(frozen=True)
class Effect:
    """Treatment against control.

    Attributes:
        control, treatment: the metric in each arm, adjusted if CUPED was.
        diff, se: their difference and its standard error (Welch's).
        lift: the difference as a share of control.
        each_se: the standard error of control and of treatment, on a last axis of 2; an arm in which nothing varied takes what all
            units together have.
        wary_se: the same, each arm varying at least as all units of both together do. An arm that has had few events yet shows less
            variance than it has, just when it lies low by chance; what is read every day is often read then.
        dof: Welch's degrees of freedom.
        n: units of both arms.
        reduction: by which share CUPED made the variance smaller.
    """

    control: Floats
    treatment: Floats
    diff: Floats
    se: Floats
    lift: Floats
    each_se: Floats
    wary_se: Floats
    dof: Floats
    n: Floats
    reduction: Floats


def effect(control: Moments, treatment: Moments, cuped: bool = False) -> Effect:
    """The difference between two independent arms of units.

    The variance of a ratio is that of its linear part (the delta method; Deng, Knoblich and Lu, 2018), so a unit with many impressions
    is one unit. With `cuped`, see `cuped.slope`. A standard error of zero says that all units of both arms are alike.
    """
    arms = (control, treatment)
    gradient = [arm.gradients() for arm in arms]
    plain = [_variance(arm, now) for arm, (now, _) in zip(arms, gradient, strict=True)]
    theta, value, variance = np.zeros_like(plain[0]), [arm.value for arm in arms], plain
    if cuped:
        theta = slope(
            [(arm.n - 1) * _form(arm, now, then) for arm, (now, then) in zip(arms, gradient, strict=True)],
            [(arm.n - 1) * _form(arm, then, then) for arm, (_, then) in zip(arms, gradient, strict=True)],
        )
        centre = _over(sum(arm.n * arm.before for arm in arms), control.n + treatment.n)
        value = [arm.value - theta * (arm.before - centre) for arm in arms]
        variance = [_variance(arm, now - theta[..., None] * then) for arm, (now, then) in zip(arms, gradient, strict=True)]
    unadjusted, diff, n = plain[0] + plain[1], value[1] - value[0], control.n + treatment.n
    of_all = (
        control.n * control.n * variance[0] + treatment.n * treatment.n * variance[1] + _over(control.n * treatment.n, n) * diff**2
    ) / n
    floor = [of_all / arm.n for arm in arms]
    variance = [np.where(mine > 0, mine, least) for mine, least in zip(variance, floor, strict=True)]
    total = variance[0] + variance[1]
    return Effect(
        control=value[0],
        treatment=value[1],
        diff=diff,
        se=np.sqrt(total),
        lift=_over(diff, np.abs(value[0])),
        each_se=np.sqrt(np.stack(variance, -1)),
        wary_se=np.sqrt(np.stack([np.maximum(*both) for both in zip(variance, floor, strict=True)], -1)),
        dof=_over(total**2, variance[0] ** 2 / (control.n - 1) + variance[1] ** 2 / (treatment.n - 1)),
        n=n,
        reduction=1 - np.where(unadjusted > 0, _over(total, unadjusted), 1.0),
    )


def _form(arm: Moments, left_K: Floats, right_K: Floats) -> Floats:
    return np.asarray(np.einsum("...i,...ij,...j->...", left_K, arm.cov_KK, right_K))


def _variance(arm: Moments, gradient_K: Floats) -> Floats:
    # Rounding may leave a hair below zero where nothing varies.
    return np.maximum(_form(arm, gradient_K, gradient_K), 0.0) / arm.n


def _over(above: Floats | float, below: Floats) -> Floats:
    """A quotient that is 0 where there is nothing below the line."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
