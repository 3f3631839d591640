"""Comparison: one metric of one treatment against control, as it stood at the end of each day."""

# U units, M metrics, K = 4 sums of a unit (see moments.py)

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from genre.experiments.confidence import Interval, anytime_half, anytime_p, as_share, fixed_half, fixed_p
from genre.experiments.definition import ExperimentConfig, ExperimentError, TooEarlyError
from genre.experiments.logs import Log
from genre.experiments.metrics import SHOWN, Metric
from genre.experiments.moments import Effect, Moments, effect
from genre.experiments.multiplicity import benjamini_hochberg
from genre.experiments.sums import DAY
from genre.types import Floats

EARLY = 1000
"""Units at which guardrails see best; at a hundred times as many their intervals are a sixth wider than if tuned for these."""


@dataclass(frozen=True)
class Look:
    """What was known at the end of a day, as a share of control (or in the metric's unit, see `Comparison.relative`)."""

    day: int
    units: int
    anytime: Interval
    fixed: Interval


@dataclass(frozen=True)
class Comparison:
    """One metric, one treatment against control.

    Attributes:
        relative: intervals are shares of control; otherwise, control being near zero or below, in the metric's own unit.
        looks: one a day, the last is now; days of which nothing, or no share of control, could be said are left out.
        share: the change as a share of control's size, whatever that is: an end may be infinite. Anytime-valid as well, and tightest at
            the `early` units that guardrails ask for.
        p: of the fixed-horizon test.
        p_anytime: may be read at any time; q: the same after Benjamini-Hochberg over all metrics but the primary.
        reduction: share of variance that CUPED took away.
        note: what else there is to say, in a line.
    """

    metric: str
    variant: str
    better: str
    control: float
    treatment: float
    relative: bool
    looks: tuple[Look, ...]
    p: float
    p_anytime: float
    q: float
    reduction: float
    share: Interval | None = None
    note: str = ""

    @property
    def last(self) -> Look:
        """Now."""
        return self.looks[-1]


def arms_by_day(config: ExperimentConfig, log: Log, name: str) -> Iterator[tuple[int, dict[str, Moments | str]]]:
    """Each day, each arm's moments of a metric from all that happened until its end; or in words why there are none yet."""
    exposed_U, variant_U = log.units["exposed"].to_numpy(), log.units["variant"].to_numpy()
    sums_UK, shaped = before_sums(config.metrics[name], log, name), config.metrics[name].shape
    counted = config.metrics[name].denominator() is not None
    raw_U = np.zeros(len(sums_UK))
    of_day = log.daily.partition_by("day", as_dict=True)
    for day in range(log.days):
        rows = of_day.get((day,))
        if rows is not None:
            at = rows["row"].to_numpy()
            np.add.at(raw_U, at, rows[f"{name}.num"].to_numpy())
            if counted:
                np.add.at(sums_UK[:, 1], at, rows[f"{name}.den"].to_numpy())
        sums_UK[:, 0] = shaped(raw_U)
        until = min(log.started + (day + 1) * DAY, log.now)
        ripe_U = exposed_U + (config.window_days or 0) * DAY <= until
        arms: dict[str, Moments | str] = {}
        for variant in config.variants:
            try:
                arms[variant] = Moments.of(sums_UK[ripe_U & (variant_U == variant)])
            except ValueError as error:
                arms[variant] = f"{variant}: {error}"
        yield day, arms


def before_sums(metric: Metric, log: Log, name: str) -> Floats:
    """Sums of shape (U, 4) with the two before first show filled in, and a denominator of 1 where units are divided by."""
    sums_UK = np.zeros((len(log.units), 4))
    at = log.before["row"].to_numpy()
    sums_UK[at, 2] = log.before[f"{name}.num"].to_numpy()
    sums_UK[:, 2] = metric.shape(sums_UK[:, 2])
    if metric.denominator() is None:
        sums_UK[:, [1, 3]] = 1.0
    else:
        sums_UK[at, 3] = log.before[f"{name}.den"].to_numpy()
    return sums_UK


def compare(
    config: ExperimentConfig, name: str, variant: str, arms: list[tuple[int, dict[str, Moments | str]]], alpha: float
) -> Comparison:
    """A metric's course from day to day; `share`, which guardrails read, is always of now.

    Raises:
        ExperimentError: an arm is empty or nothing varies, to this day.
    """
    now = effect_of(config, name, variant, arms[-1][1])
    arms = arms[: days_read(config, len(arms))]
    last = effect_of(config, name, variant, arms[-1][1])
    clear = as_shares(last, anytime_edge(last, config.planned_units, alpha), last.wary_se)
    relative = bool(last.control > 0 and np.isfinite([clear.low, clear.high]).all())
    looks = []
    for day, moments in arms:
        try:
            found = effect_of(config, name, variant, moments)
        except ExperimentError:
            continue  # too early; later days say more
        if (seen := look(config, day, found, alpha, relative)) is not None:
            looks.append(seen)
    return Comparison(
        name, variant, config.metrics[name].better, float(last.control), float(last.treatment), relative, tuple(looks),
        p=float(fixed_p(last.diff, last.se, last.dof)),
        p_anytime=float(anytime_p(last.diff, np.hypot(*last.wary_se), last.n, config.planned_units, alpha)),
        q=float("nan"), reduction=float(last.reduction), share=as_shares(now, anytime_edge(now, early(config), alpha), now.wary_se),
    )  # fmt: skip


def days_read(config: ExperimentConfig, days: int) -> int:
    """Of so many days, those that decide: what is read once is read at the planned end, however late one looks."""
    return min(days, config.days) if config.decide_by == "fixed" else days


def effect_of(config: ExperimentConfig, name: str, variant: str, moments: dict[str, Moments | str]) -> Effect:
    """Treatment against control on one day.

    Raises:
        ExperimentError: in words why there is none.
    """
    control, treatment = moments[config.control], moments[variant]
    if isinstance(control, str) or isinstance(treatment, str):
        raise TooEarlyError(f"metric {name!r}: {control if isinstance(control, str) else treatment}")
    fewest, arm = min((int(control.n), config.control), (int(treatment.n), variant))
    if fewest < config.min_units:
        raise TooEarlyError(f"metric {name!r}: {arm} has {fewest} units; intervals are given from {config.min_units} on (min_units)")
    if not (control.mean_K[1] and treatment.mean_K[1]):
        raise ExperimentError(f"metric {name!r}: nobody has any {config.metrics[name].denominator()}, which it divides by; is it logged?")
    found = effect(control, treatment, cuped=config.cuped_days is not None)
    if not found.se > 0 and SHOWN in config.metrics[name].numerator() and not found.control:
        # The very lists that are there say that there was none; an event of which there is none may as well not be logged.
        raise TooEarlyError(f"metric {name!r}: none in any list of {config.control!r} or {variant!r}, so there is nothing to compare")
    if not found.se > 0:
        raise ExperimentError(
            f"metric {name!r}: every unit of {config.control!r} and {variant!r} has the same value, {float(found.control):g}, so "
            f"nothing can be said; are its events ({', '.join(config.metrics[name].numerator())}) in the log?"
        )
    return found


def look(config: ExperimentConfig, day: int, found: Effect, alpha: float, relative: bool) -> Look | None:
    """The two intervals of an effect; None where control may be zero on that day, so that there is no share of it."""
    edges = (
        (anytime_edge(found, config.planned_units, alpha), found.wary_se),
        (fixed_half(np.asarray(1.0), found.dof, alpha), found.each_se),
    )
    anytime, fixed = ((as_shares if relative else as_units)(found, edge, each_se) for edge, each_se in edges)
    return Look(day, int(found.n), anytime, fixed) if np.isfinite([anytime.low, anytime.high, fixed.low, fixed.high]).all() else None


def anytime_edge(found: Effect, planned: int, alpha: float) -> Floats:
    """Half the anytime-valid interval, in standard errors."""
    return anytime_half(np.asarray(1.0), found.n, planned, alpha)


def early(config: ExperimentConfig) -> int:
    """Where a guardrail's interval is tightest: a disaster must not wait for the units that the smallest effect needs."""
    return min(config.planned_units, EARLY)


def as_units(found: Effect, edge: Floats, each_se: Floats) -> Interval:
    """The difference."""
    value, half = float(found.diff), float(edge * np.hypot(*each_se))
    return Interval(value, value - half, value + half)


def as_shares(found: Effect, edge: Floats, each_se: Floats) -> Interval:
    """The difference as a share of control."""
    low, high = as_share(found.control, found.treatment, each_se[0], each_se[1], edge)
    return Interval(float(found.lift), float(low), float(high))


def with_q(comparisons: list[Comparison], primary: str) -> list[Comparison]:
    """Benjamini-Hochberg over all that is not the primary metric; the primary keeps its own."""
    others = [found for found in comparisons if found.metric != primary]
    q_M = benjamini_hochberg(np.array([found.p_anytime for found in others])) if others else np.empty(0)
    adjusted = {id(found): float(q) for found, q in zip(others, q_M, strict=True)}
    return [replace(found, q=adjusted.get(id(found), found.p_anytime)) for found in comparisons]


def change(at: Interval, relative: bool = True) -> str:
    """An interval in words."""
    low, value, high = (f"{x:+.2%}" if relative else f"{x:+.4g}" for x in (at.low, at.value, at.high))
    return f"{value} ({low} to {high})"


def p_or_q(value: float, primary: bool) -> str:
    """What `with_q` left of a metric: the primary keeps its p, and says so."""
    return f"{'p ' if primary else ''}{value:.2g}"


def told_of_cuped(reductions: Iterable[tuple[str, float]]) -> str:
    """What CUPED did, given the share of variance that it took away, by metric; nothing if it was little."""
    most: dict[str, float] = {}
    for metric, share in reductions:
        most[metric] = max(share, most.get(metric, 0.0))
    told = ", ".join(f"{share:.0%} of {metric}" for metric, share in most.items() if share > 0.005)
    return f"Values are as if both arms had been alike before: CUPED took variance away, {told}" if told else ""
