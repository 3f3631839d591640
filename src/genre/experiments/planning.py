"""Planning: how many units and days an experiment needs, from what the same log held before it."""

# U units, D days

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from genre.data.readers.rejection import Rejections
from genre.experiments.assignment import traffic
from genre.experiments.comparison import before_sums
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.logs import Log
from genre.experiments.metrics import SHOWN, Rate, valued
from genre.experiments.moments import Moments
from genre.experiments.power import Baseline, Plan, days_needed, plan
from genre.experiments.rows import rows
from genre.experiments.sums import DAY, Sums
from genre.types import Floats

HORIZON = 120
"""Days looked ahead."""
EFFECTS = (0.5, 1.0, 2.0, 5.0)
"""Planned for, in multiples of the smallest effect worth having."""
WEEK = 7
"""Days of log that it takes to see who comes anew: on the first day everybody does."""


@dataclass(frozen=True)
class Line:
    """An effect, what finding it costs, and by which day the units have come (None: not within the horizon, or not known)."""

    plan: Plan
    days: int | None
    days_anytime: int | None


@dataclass(frozen=True)
class Outlook:
    """What to expect.

    Attributes:
        covered: days of the log that the baseline is from; short: these are too few to say how many days anything takes.
        arriving: units a day, at full ramp.
        planned_units: what to write into the definition.
    """

    metric: str
    baseline: Baseline
    covered: float
    short: bool
    units: int
    arriving: float
    lines: tuple[Line, ...]
    planned_units: int

    def caption(self) -> str:
        """The baseline in a line."""
        return f"{self.metric} is {self.baseline.value:.4g}, from {self.units:,} units in {self.covered:.1f} days"

    def sentence(self, config: ExperimentConfig) -> str:
        """What the smallest effect worth having costs, for somebody who decides whether to start."""
        line = next(line for line in self.lines if line.plan.min_effect == config.min_effect)
        units, days = (line.plan.units_anytime, line.days_anytime) if config.decide_by == "anytime" else (line.plan.units_cuped, line.days)
        told = f"To find a change of {config.min_effect:.1%} in {self.metric} takes {units:,} users"
        if self.short:
            told += f". How long that is cannot be told from {self.covered:.1f} days of log: a week shows how many new ones come."
        else:
            long = f"more than {HORIZON} days" if days is None else in_days(days)
            told += f": {long}, at {self.arriving:,.0f} a day."
        if units > self.units:
            told += f" The log knows {self.units:,} users in all: the others must be new."
        if not self.short and (days is None or days > config.days):
            told += f" That is longer than the {config.days} days planned: look for a larger effect (min_effect), or run longer (days)."
        if units != config.planned_units:
            told += f" Write planned_units: {units} into the definition: the interval is tightest there."
        return told

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The header, and a row an effect."""
        header = ["effect", "units, one look", "with CUPED", "days, one look", "units, any time", "days, any time"]
        rows = []
        for line in self.lines:
            units = [f"{n:,}" for n in (line.plan.units, line.plan.units_cuped, line.plan.units_anytime)]
            days = [f"over {HORIZON}" if day is None else str(day) for day in (line.days, line.days_anytime)]
            if self.short:
                days = ["not known"] * 2
            rows.append([f"{line.plan.min_effect:+.1%}", units[0], units[1], days[0], units[2], days[1]])
        return header, rows


def in_days(n: int) -> str:
    """So many days."""
    return f"{n} {'day' if n == 1 else 'days'}"


def look_ahead(config: ExperimentConfig, now: float | None = None) -> Outlook:
    """Plan for the primary metric, from the last `config.days` days of the events before `now` (None: before the log's end).

    Raises:
        ExperimentError: no log of events, nobody in it, or a primary metric that it cannot tell.
    """
    check_plannable(config)
    log = history(config, now)
    name, metric = config.primary, config.metrics[config.primary]
    sums_UK = before_sums(metric, log, name)
    totals = log.daily.group_by("row").agg(pl.col(f"{name}.num", f"{name}.den").sum())
    at = totals["row"].to_numpy()
    sums_UK[at, 0] = totals[f"{name}.num"].to_numpy()
    if metric.denominator() is not None:
        sums_UK[at, 1] = totals[f"{name}.den"].to_numpy()
    sums_UK[:, 0] = metric.shape(sums_UK[:, 0])
    baseline = baseline_of(Moments.of(sums_UK), isinstance(metric, Rate), name, config.cuped_days is not None)
    shares = config.shares()
    ordered = [shares[config.control], *(shares[variant] for variant in config.treatments)]
    effects = [factor * config.min_effect for factor in EFFECTS]
    effects = [effect for effect in effects if not baseline.rate or effect == config.min_effect or baseline.value * (1 + effect) < 1]
    plans = plan(baseline, effects, ordered, config.alpha, config.power)
    covered = (log.now - log.started) / DAY
    short = covered < min(WEEK, config.days) - 0.5
    arrived_D = np.zeros(0) if short else arrival_curve(config, log)
    lines = [Line(found, days_needed(found.units_cuped, arrived_D), days_needed(found.units_anytime, arrived_D)) for found in plans]
    wanted = next(line.plan for line in lines if line.plan.min_effect == config.min_effect)
    planned = wanted.units_anytime if config.decide_by == "anytime" else wanted.units_cuped
    return Outlook(name, baseline, covered, short, len(log.units), len(log.units) / max(covered, 1.0), tuple(lines), planned)


def check_plannable(config: ExperimentConfig) -> None:
    """What is told by no log before the start cannot be planned for.

    Raises:
        ExperimentError: why.
    """
    if config.interleave:
        raise ExperimentError(
            f"{config.name!r} is interleaved: how often its rankings differ, and whether users care, is in no log; start it and read the "
            "anytime-valid interval on any day. planned_units is the number of units at which it is tightest"
        )
    metric = config.metrics[config.primary]
    if SHOWN in metric.numerator() or metric.denominator() == SHOWN:
        raise ExperimentError(
            f"{config.primary!r} counts lists shown, which no log holds before the experiment; plan with a metric of events"
        )


def history(config: ExperimentConfig, now: float | None = None) -> Log:
    """The events before the start, as if everybody had been exposed at their first event of the last days."""
    logs = config.logs
    if logs.events is None:
        raise ExperimentError(f"{config.name}: logs.events does not say which file to plan from")
    latest = now if now is not None else max(_last(frame) for frame in rows(logs.events, logs, (logs.event,), Rejections()))
    begun = latest - config.days * DAY
    firsts = []
    for frame in rows(logs.events, logs, (logs.event,), Rejections()):
        within = frame.filter(pl.col("time").is_between(begun, latest))
        firsts.append(within.group_by("unit").agg(pl.col("time").min().alias("exposed")))
    units = pl.concat(firsts).group_by("unit").agg(pl.col("exposed").min()).sort("exposed", "unit")
    if len(units) < 2:
        raise ExperimentError(f"{logs.events}: {len(units)} units did anything in the {config.days} days before now; is the time right?")
    begun = max(begun, float(units["exposed"][0]))
    sums, rejections = Sums(config, units, begun, latest), Rejections()
    for frame in rows(logs.events, logs, (logs.event, *((logs.value,) if valued(config.metrics) else ())), rejections):
        sums.add_events(frame, logs.events)
    daily, before, answers, shown = sums.tables()
    return Log(units, daily, before, answers, shown, begun, latest, 0, sums.strangers, rejections.frame())


def baseline_of(arm: Moments, rate: bool, name: str, cuped: bool) -> Baseline:
    """Value, variance of a unit, and correlation with the value before."""
    now, then = arm.gradients()
    variance, before, both = (float(left @ arm.cov_KK @ right) for left, right in ((now, now), (then, then), (now, then)))
    if not (float(arm.value) and variance > 0):
        fix = "add events of those who did not do it, such as impressions" if float(arm.value) else "are its events in it?"
        raise ExperimentError(f"metric {name!r} is {float(arm.value):g} for every unit of the log; {fix}")
    correlation = both / np.sqrt(variance * before) if cuped and before > 0 else 0.0
    return Baseline(float(arm.value), variance, float(np.clip(correlation, -0.999, 0.999)), rate and 0 < float(arm.value) < 1)


def arrival_curve(config: ExperimentConfig, log: Log) -> Floats:
    """Units that take part by the end of each day ahead: those the log had, then on at the pace of its last days."""
    day_U = ((log.units["exposed"].to_numpy() - log.started) // DAY).astype(np.int64)
    new_D = np.bincount(day_U)[: config.days].astype(np.float64)
    pace = float(new_D[len(new_D) // 2 :].mean())
    ahead_D = np.concatenate([new_D, np.full(HORIZON - min(len(new_D), HORIZON), pace)])[:HORIZON].cumsum()
    share_D = np.array([traffic(config, day) for day in range(len(ahead_D))])
    return np.asarray(ahead_D * share_D * (config.layer.stop - config.layer.start))


def _last(frame: pl.DataFrame) -> float:
    return float(frame["time"].max()) if len(frame) else float("-inf")  # type: ignore[arg-type]
