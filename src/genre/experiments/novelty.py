"""Novelty: whether an effect wears off (or grows) as a unit gets used to what is new, by day since its first show."""

# U units, A days since first show

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from genre.experiments.confidence import Interval
from genre.experiments.definition import ExperimentConfig
from genre.experiments.logs import Log
from genre.experiments.sums import DAY
from genre.types import Bools, Floats, Ints

ENOUGH = 0.2
"""An age counts if so many of an arm's units have reached it; later ones are few and early comers."""
CLEAR = 4.0
"""Control's value on a day must be so many standard errors from zero, or a share of it says little."""
Z = 1.959963984540054


@dataclass(frozen=True)
class Novelty:
    """Attributes: the lift on each day since first show, and its slope a day, as shares of control with 95 % intervals for one look."""

    variant: str
    days: tuple[Interval, ...]
    slope: Interval | None
    text: str


@dataclass(frozen=True)
class _Day:
    """An arm at one age: which units have lived through it, their ratio, and how much each pulls on that."""

    alive: Ints
    value: float
    pull: Floats

    @property
    def variance(self) -> float:
        return float((self.pull**2).sum())


def novelty(config: ExperimentConfig, log: Log, name: str, variant: str) -> Novelty:
    """The lift of a metric by age: relative, since all units do less as days go by, whatever they are shown."""
    exposed_U, variant_U = log.units["exposed"].to_numpy(), log.units["variant"].to_numpy()
    lived_U = ((log.now - exposed_U) // DAY).astype(np.int64)
    arms = [np.flatnonzero(variant_U == arm) for arm in (config.control, variant)]
    pairs: list[tuple[_Day, _Day]] = []
    for num_U, den_U in _by_age(config, log, name):
        control, treatment = (_day(num_U, den_U, arm, lived_U > len(pairs)) for arm in arms)
        if control is None or treatment is None or control.value <= CLEAR * np.sqrt(control.variance):
            break
        pairs.append((control, treatment))
    lift_A = np.array([treatment.value / control.value - 1 for control, treatment in pairs])
    days = tuple(
        _around(lift, np.sqrt(treatment.variance + (1 + lift) ** 2 * control.variance) / control.value)
        for lift, (control, treatment) in zip(lift_A, pairs, strict=True)
    )
    if len(pairs) < 3:
        return Novelty(variant, days, None, "too few whole days since first show to see a trend")
    weight_A = np.arange(len(pairs)) - (len(pairs) - 1) / 2
    weight_A /= (weight_A**2).sum()
    # Days of one unit hang together, so a unit's pull on the slope is added up over its days before it is squared.
    pull_U = np.zeros(len(exposed_U))
    for weight, lift, (control, treatment) in zip(weight_A, lift_A, pairs, strict=True):
        pull_U[treatment.alive] += weight * treatment.pull / control.value
        pull_U[control.alive] -= weight * (1 + lift) * control.pull / control.value
    slope = _around(float(weight_A @ lift_A), float(np.sqrt((pull_U**2).sum())))
    return Novelty(variant, days, slope, _in_words(slope, float(lift_A.mean())))


def _day(num_U: Floats, den_U: Floats, arm: Ints, lived_U: Bools) -> _Day | None:
    alive = arm[lived_U[arm]]
    if len(alive) < max(2, ENOUGH * len(arm)) or not den_U[alive].sum() > 0:
        return None
    value = float(num_U[alive].sum() / den_U[alive].sum())
    return _Day(alive, value, (num_U[alive] - value * den_U[alive]) / den_U[alive].sum())


def _by_age(config: ExperimentConfig, log: Log, name: str) -> Iterator[tuple[Floats, Floats]]:
    """Numerators and denominators of all units on each day since their first show."""
    metric, n = config.metrics[name], len(log.units)
    parts = log.daily.partition_by("age", as_dict=True)
    for age in range(log.days):
        rows = parts.get((age,), log.daily.clear())
        row, num, den = (rows[column].to_numpy() for column in ("row", f"{name}.num", f"{name}.den"))
        below_U = np.ones(n) if metric.denominator() is None else np.bincount(row, den, n)
        yield metric.shape(np.bincount(row, num, n).astype(np.float64)), below_U.astype(np.float64)


def _around(value: float, se: float) -> Interval:
    return Interval(float(value), float(value - Z * se), float(value + Z * se))


def _in_words(slope: Interval, mean: float) -> str:
    if slope.low <= 0 <= slope.high:
        return "no trend by day is shown"
    if (slope.value > 0) == (mean > 0):
        return "the effect grows by the day: it may be larger in the long run than the average so far"
    return "the effect wears off by the day: part of it is novelty, so run longer before believing its size"
