"""Simulation: many experiments at once with a known effect, looked at every day; how often does each interval cry wolf?"""

# S simulated experiments, D days, U units of an arm in the order they come, K = 4 sums of a unit (see moments.py)

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genre.experiments.confidence import anytime_half, as_share, fixed_half
from genre.experiments.moments import Effect, Moments, effect
from genre.types import Bools, Floats

Kind = Literal["rate", "rare", "mean", "revenue", "ratio", "foreseeable", "growing"]
RATES = {"rate": 0.1, "rare": 0.02}
CHUNK = 100


@dataclass(frozen=True)
class World:
    """What is simulated.

    Attributes:
        kind: `rate`: one in ten; `rare`: one in fifty; `mean`: lognormal; `revenue`: one in twenty pays, and lognormally much; `ratio`:
            clicks an impression, whose rate differs between units; `foreseeable`: a mean whose value before correlates by 0.7, judged
            with CUPED; `growing`: all units come on the first day and their values grow from day to day.
        lift: the true effect, as a share of control; 0 is an A/A experiment.
        units_a_day: of an arm, on average.
        share: the treatment's part of all units.
    """

    kind: Kind
    lift: float = 0.0
    days: int = 28
    units_a_day: int = 100
    share: float = 0.5

    @property
    def arms_a_day(self) -> tuple[int, int]:
        """New units of control and of treatment."""
        treated = round(2 * self.units_a_day * self.share)
        return 2 * self.units_a_day - treated, treated

    @property
    def planned(self) -> int:
        """Units of both arms at the end."""
        return 2 * self.units_a_day * (1 if self.kind == "growing" else self.days)


def simulate(world: World, simulations: int, rng: np.random.Generator) -> Effect:
    """The effect as it stood at the end of each day of each experiment: arrays of shape (S, D)."""
    parts = []
    for start in range(0, simulations, CHUNK):
        size = min(CHUNK, simulations - start)
        lifts = zip((0.0, world.lift), world.arms_a_day, strict=True)
        control, treatment = (_looks(world, 1 + lift, size, a_day, rng) for lift, a_day in lifts)
        parts.append(effect(control, treatment, cuped=world.kind == "foreseeable"))
    return Effect(*(np.concatenate([getattr(part, name) for part in parts]) for name in Effect.__dataclass_fields__))


def peeking(found: Effect, planned: int, alpha: float = 0.05) -> dict[str, Bools]:
    """Whether each experiment is ever called different from zero, shape (S,), by how it is read."""
    fixed = np.asarray(np.abs(found.diff) > fixed_half(found.se, found.dof, alpha))
    anytime = called(found, planned, alpha)
    return {
        "fixed horizon, read once at the end": fixed[:, -1],
        "fixed horizon, read every day": np.asarray(fixed.any(1)),
        "anytime-valid, read every day": np.asarray(anytime.any(1)),
    }


def called(found: Effect, planned: int, alpha: float = 0.05, margin: float = 0.0) -> Bools:
    """Whether the anytime-valid interval that a report shows lies outside -margin to margin at each look; of shape (S, D)."""
    edge = anytime_half(np.ones_like(found.n), found.n, planned, alpha)
    low, high = as_share(found.control, found.treatment, found.wary_se[..., 0], found.wary_se[..., 1], edge)
    return np.asarray((low > margin) | (high < -margin))


def cumulative(sums_SUK: Floats, until_D: list[int]) -> Moments:
    """Moments of the first so many units, for each look."""
    centre_K = sums_SUK.mean((0, 1))  # around which squares do not lose digits
    off_SUK = sums_SUK - centre_K
    at_D = np.asarray(until_D) - 1
    mean_SDK = np.cumsum(off_SUK, 1)[:, at_D] / (at_D[:, None] + 1)
    square_SDKK = np.cumsum(off_SUK[..., :, None] * off_SUK[..., None, :], 1)[:, at_D]
    n_D = (at_D + 1.0)[:, None, None]
    cov_SDKK = (square_SDKK - n_D * mean_SDK[..., :, None] * mean_SDK[..., None, :]) / (n_D - 1)
    return Moments(np.broadcast_to(at_D + 1.0, mean_SDK.shape[:2]), mean_SDK + centre_K, cov_SDKK)


def _looks(world: World, factor: float, size: int, a_day: int, rng: np.random.Generator) -> Moments:
    if world.kind in RATES:
        n_D = a_day * (np.arange(world.days) + 1.0)
        mean = np.ones((size, world.days, 4)) * [0, 1, 0, 1]
        mean[..., 0] = rng.binomial(a_day, RATES[world.kind] * factor, (size, world.days)).cumsum(1) / n_D
        cov = np.zeros((*mean.shape, 4))
        cov[..., 0, 0] = mean[..., 0] * (1 - mean[..., 0]) * n_D / (n_D - 1)
        return Moments(np.broadcast_to(n_D, mean.shape[:2]), mean, cov)
    if world.kind == "growing":
        value_SDU = np.cumsum(factor * rng.exponential(size=(size, world.days, a_day)), 1)
        n, mean = np.full(value_SDU.shape[:2], float(a_day)), np.zeros((*value_SDU.shape[:2], 4))
        mean[..., 0], mean[..., [1, 3]] = value_SDU.mean(2), 1.0
        cov = np.zeros((*mean.shape, 4))
        cov[..., 0, 0] = value_SDU.var(2, ddof=1)
        return Moments(n, mean, cov)
    sums = np.zeros((size, world.days * a_day, 4))
    sums[..., [1, 3]] = 1.0
    shape = sums.shape[:2]
    if world.kind == "mean":
        sums[..., 0] = factor * rng.lognormal(0, 1, shape)
    elif world.kind == "revenue":
        sums[..., 0] = factor * (rng.random(shape) < 0.05) * rng.lognormal(3, 1, shape)
    elif world.kind == "ratio":
        sums[..., 1] = 1 + rng.poisson(5, shape)
        sums[..., 0] = rng.binomial(sums[..., 1].astype(np.int64), np.minimum(1.0, factor * rng.beta(1, 9, shape)))
        sums[..., 3] = 0.0
    else:
        habit = rng.gamma(2, 1, shape)
        sums[..., 2] = habit
        sums[..., 0] = factor * (0.7 * habit + np.sqrt(1 - 0.7**2) * rng.gamma(2, 1, shape))
    return cumulative(sums, [a_day * (day + 1) for day in range(world.days)])
