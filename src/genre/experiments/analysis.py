"""Analysis: every metric of every treatment, with checks, guardrails and a decision."""

# D days, V variants

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genre.experiments.comparison import Comparison, arms_by_day, change, compare, with_q
from genre.experiments.decision import Decision, decide
from genre.experiments.definition import ExperimentConfig, ExperimentError, TooEarlyError
from genre.experiments.guardrails import Outcome, guard
from genre.experiments.logs import Log
from genre.experiments.novelty import Novelty, novelty
from genre.experiments.srm import RatioCheck, check_ratio
from genre.experiments.sums import DAY
from genre.types import Ints


@dataclass(frozen=True)
class Analysis:
    """All that is known of an experiment at a moment.

    Attributes:
        units_DV: cumulative units a day and variant, in the order of `config.variants`.
        silent: metrics of which nothing can be said, with the reason.
    """

    config: ExperimentConfig
    started: float
    now: float
    units_DV: Ints
    ratio: RatioCheck
    comparisons: tuple[Comparison, ...]
    silent: dict[str, str]
    guardrails: tuple[Outcome, ...]
    novelty: tuple[Novelty, ...]
    decision: Decision
    crossed: int
    strangers: int
    rejected: int

    @property
    def days(self) -> float:
        """Since the start."""
        return (self.now - self.started) / DAY

    def caption(self) -> str:
        """What the figures are of, in a line."""
        split = "sample ratio mismatch" if self.ratio.alarm is not None else "split as planned"
        return f"{self.config.name}: day {self.days:.1f} of {self.config.days}, {self.units_DV[-1].sum():,} units, {split}"

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Every comparison with both intervals: the header, and a row each."""
        level = f"{1 - self.config.alpha:.0%}"
        header = ["metric", "variant", self.config.control, "variant's", f"any time, {level}", f"one look, {level}", "q"]
        rows = []
        for found in self.comparisons:
            values = [f"{value:.4g}" for value in (found.control, found.treatment)]
            intervals = [change(at, found.relative) for at in (found.last.anytime, found.last.fixed)]
            rows.append([found.metric, found.variant, *values, *intervals, f"{found.q:.2g}"])
        return header, rows

    def of(self, metric: str, variant: str) -> Comparison | None:
        """One comparison, if it could be made."""
        return next((found for found in self.comparisons if (found.metric, found.variant) == (metric, variant)), None)


def analyse(config: ExperimentConfig, log: Log, watching: bool = False) -> Analysis:
    """Everything at once, from the sums of a log.

    Args:
        watching: for guardrails: a primary metric of which nothing can be said is no error then.

    Raises:
        ExperimentError: of the primary metric nothing can be said, and waiting does not help.
    """
    units_DV = arrivals(config, log)
    ratio = check_ratio(units_DV, np.array([*config.shares().values()]), config.srm_alpha)
    alpha = config.alpha / len(config.treatments)
    comparisons, silent = [], {}
    for name in config.metrics:
        arms = [*arms_by_day(config, log, name)]
        for variant in config.treatments:
            try:
                comparisons.append(compare(config, name, variant, arms, alpha))
            except ExperimentError as error:
                if name == config.primary and not watching and not isinstance(error, TooEarlyError):
                    raise
                silent[name] = str(error)
    comparisons = with_q(comparisons, config.primary)
    outcomes = guard(config, log, comparisons, alpha)
    views = tuple(novelty(config, log, config.primary, variant) for variant in config.treatments)
    primary = [found for found in comparisons if found.metric == config.primary]
    days = (log.now - log.started) / DAY
    decision = decide(config, days, int(units_DV[-1].sum()), ratio, primary, outcomes)
    return Analysis(
        config, log.started, log.now, units_DV, ratio, tuple(comparisons), silent, outcomes, views, decision,
        log.crossed, log.strangers, len(log.rejected),
    )  # fmt: skip


def arrivals(config: ExperimentConfig, log: Log) -> Ints:
    """Cumulative units of each variant at the end of each day, shape (D, V)."""
    day_U = ((log.units["exposed"].to_numpy() - log.started) // DAY).astype(np.int64)
    columns = [np.bincount(day_U[(log.units["variant"] == name).to_numpy()], minlength=log.days)[: log.days] for name in config.variants]
    return np.cumsum(np.stack(columns, 1), 0)
