"""Power: how many units an effect needs, asked before the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from genre.experiments.confidence import anytime_half
from genre.types import Floats


@dataclass(frozen=True)
class Baseline:
    """What is known of a metric before the start.

    Attributes:
        value: control's expected value.
        variance: of a unit (for a ratio, of its linear part).
        correlation: between a unit's value and its value before; CUPED leaves 1 − correlation² of the variance.
        rate: the value is a share of units, whose variance moves with it.
    """

    value: float
    variance: float
    correlation: float = 0.0
    rate: bool = False

    def __post_init__(self) -> None:
        if not np.isfinite([self.value, self.variance, self.correlation]).all() or self.value == 0 or self.variance <= 0:
            raise ValueError(f"a plan needs a baseline that is not zero and varies between units; got {self}")
        if not -1 < self.correlation < 1 or (self.rate and not 0 < self.value < 1):
            raise ValueError(f"a correlation lies between -1 and 1 and a rate between 0 and 1; got {self}")


@dataclass(frozen=True)
class Plan:
    """Units of all arms together that find an effect of this size."""

    min_effect: float
    units: int
    units_cuped: int
    units_anytime: int


def power(diff: float, variance: tuple[float, float], n: tuple[float, float], alpha: float = 0.05) -> float:
    """How often a two-sided test at one look finds a true difference; variances and sizes of control and treatment."""
    z = abs(diff) / np.sqrt(variance[0] / n[0] + variance[1] / n[1])
    edge = ndtri(1 - alpha / 2)
    return float(ndtr(z - edge) + ndtr(-z - edge))


def units_needed(diff: float, variance: tuple[float, float], share: tuple[float, float], wanted: float, edge: float) -> float:
    """Units of both arms such that |z| passes `edge` with probability `wanted` (the far tail counted, too).

    Args:
        share: of control and treatment among the two, summing to 1.
        edge: half the interval in standard errors: 1.96 for one look at 5 %.
    """
    # z grows with the root of n, so one root for z serves any n.
    low, high = 0.0, edge + 10.0
    while high - low > 1e-13 * high:
        z = (low + high) / 2
        low, high = (z, high) if ndtr(z - edge) + ndtr(-z - edge) < wanted else (low, z)
    return float((variance[0] / share[0] + variance[1] / share[1]) * (high / diff) ** 2)


def plan(
    baseline: Baseline,
    effects: Sequence[float],
    shares: Sequence[float] = (0.5, 0.5),
    alpha: float = 0.05,
    wanted: float = 0.8,
) -> list[Plan]:
    """For each relative effect the units of the whole experiment, by the treatment with the smallest share.

    Args:
        shares: of the variants, control first. Several treatments share `alpha` evenly.
    """
    if len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares must be positive and sum to 1, control first; got {list(shares)}")
    alpha = alpha / (len(shares) - 1)
    both = shares[0] + min(shares[1:])
    pair = (shares[0] / both, min(shares[1:]) / both)
    one_look = float(ndtri(1 - alpha / 2))
    any_time = float(anytime_half(np.asarray(1.0), np.asarray(1.0), 1.0, alpha))
    plans = []
    for effect in effects:
        if effect == 0 or not np.isfinite(effect):
            raise ValueError(f"an effect of {effect} cannot be planned for; give the smallest change worth having, such as 0.02")
        treated = baseline.value * (1 + effect)
        if baseline.rate and not 0 < treated < 1:
            raise ValueError(f"an effect of {effect:+.0%} on a rate of {baseline.value:.1%} leaves no rate")
        # A lift multiplies what units do, and so their variance by its square; a rate's variance follows from the rate.
        spread = (baseline.variance, treated * (1 - treated) if baseline.rate else baseline.variance * (1 + effect) ** 2)
        left = 1 - baseline.correlation**2
        needed = units_needed(baseline.value * effect, spread, pair, wanted, one_look) / both
        longer = units_needed(baseline.value * effect, spread, pair, wanted, any_time) / both
        plans.append(Plan(effect, _up(needed), _up(needed * left), _up(longer * left)))
    return plans


def days_needed(units: int, arrived_D: Floats) -> int | None:
    """The first day by which so many units have come; None if they are not expected to.

    Args:
        arrived_D: distinct units seen by the end of each day.
    """
    enough = np.flatnonzero(arrived_D >= units)
    return int(enough[0]) + 1 if len(enough) else None


def _up(units: float) -> int:
    return int(np.ceil(units - 1e-9))
