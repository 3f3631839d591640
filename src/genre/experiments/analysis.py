"""Analysis: every metric of every treatment, with checks, guardrails and a decision."""

# D days, V variants

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from genre.experiments.comparison import Comparison, arms_by_day, change, compare, p_or_q, told_of_cuped, with_q
from genre.experiments.decision import Decision, decide
from genre.experiments.definition import ExperimentConfig, ExperimentError, TooEarlyError
from genre.experiments.guardrails import Outcome, guard
from genre.experiments.logs import Log
from genre.experiments.novelty import Novelty, novelty
from genre.experiments.preferring import check_firsts, preferred
from genre.experiments.srm import RatioCheck, check_ratio
from genre.experiments.sums import DAY
from genre.types import Ints


@dataclass(frozen=True)
class Analysis:
    """All that is known of an experiment at a moment.

    Attributes:
        units_DV: cumulative units a day and variant, in the order of `config.shares()`: one column where both variants are interleaved.
        silent: metrics of which nothing can be said for some treatment, with the reasons.
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
        units = f"{self.units_DV[-1].sum():,} units"
        return f"{self.config.name}: day {self.days:.1f} of {self.config.days}, {units}, {self.split}"

    @property
    def split(self) -> str:
        """Whether the arms have the sizes they should, in a few words."""
        if self.ratio.alarm is not None:
            return f"sample ratio mismatch, p {self.ratio.p:.1g}"
        if self.config.interleave and self.config.logs.first is None:
            return "who picks first is not logged"
        units = int(self.units_DV[-1].sum())
        if units < self.config.min_units:
            return f"{units:,} units are too few to tell how they are split"
        return f"{'both pick first equally often' if self.config.interleave else 'split as planned'}, p {self.ratio.p:.2g}"

    @property
    def units(self) -> dict[str, int]:
        """Units of each arm so far."""
        return dict(zip(self.config.shares(), self.units_DV[-1].tolist(), strict=True))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Every comparison with both intervals: the header, and a row each."""
        level, lead = f"{self.config.level}%", "lead, " if self.config.interleave else ""
        header = ["metric", "variant", self.config.control, "variant's", f"{lead}any time, {level}", f"{lead}one look, {level}", "q"]
        rows = []
        for found in self.comparisons:
            values = [f"{value:.4g}" for value in (found.control, found.treatment)]
            intervals = [change(at, found.relative) for at in (found.last.anytime, found.last.fixed)]
            rows.append([found.metric, found.variant, *values, *intervals, p_or_q(found.q, found.metric == self.config.primary)])
        return header, rows

    @property
    def adjusted(self) -> str:
        """Why the arms' values are not the plain means of the log, if they are not."""
        return told_of_cuped((found.metric, found.reduction) for found in self.comparisons)

    def of(self, metric: str, variant: str) -> Comparison | None:
        """One comparison, if it could be made."""
        return next((found for found in self.comparisons if (found.metric, found.variant) == (metric, variant)), None)


def analyse(config: ExperimentConfig, log: Log, watching: bool = False, ended: bool = False) -> Analysis:
    """Everything at once, from the sums of a log.

    Args:
        watching: for guardrails: a primary metric of which nothing can be said is no error then.
        ended: it does not run any more.

    Raises:
        ExperimentError: of the primary metric nothing can be said, and waiting does not help.
    """
    units_DV, alpha = arrivals(config, log), config.alpha_each
    if config.interleave:
        ratio = check_firsts(config, log)
        comparisons, silent = preferred(config, log)
        outcomes, views = tuple[Outcome, ...](), tuple[Novelty, ...]()
    else:
        ratio = check_ratio(units_DV, np.array([*config.shares().values()]), config.srm_alpha)
        comparisons, silent = compared(config, log, alpha, watching)
        outcomes = guard(config, log, comparisons, alpha)
        views = tuple(novelty(config, log, config.primary, variant) for variant in config.treatments)
    primary = [found for found in comparisons if found.metric == config.primary]
    days = (log.now - log.started) / DAY
    decision = decide(config, days, int(units_DV[-1].sum()), ratio, primary, outcomes, silent.get(config.primary, ""))
    decision = replace(decision, ended=ended)
    return Analysis(
        config, log.started, log.now, units_DV, ratio, tuple(comparisons), silent, outcomes, views, decision,
        log.crossed, log.strangers, len(log.rejected),
    )  # fmt: skip


def compared(config: ExperimentConfig, log: Log, alpha: float, watching: bool) -> tuple[list[Comparison], dict[str, str]]:
    """Every metric of every treatment, and in words why there is none of the others."""
    comparisons, silent = [], {}
    for name in config.metrics:
        arms, whys = [*arms_by_day(config, log, name)], dict[str, None]()
        for variant in config.treatments:
            try:
                comparisons.append(compare(config, name, variant, arms, alpha))
            except ExperimentError as error:
                if name == config.primary and not watching and not isinstance(error, TooEarlyError):
                    raise
                whys[str(error)] = None
        if whys:
            silent[name] = "; ".join(whys)
    return with_q(comparisons, config.primary), silent


def arrivals(config: ExperimentConfig, log: Log) -> Ints:
    """Cumulative units of each variant at the end of each day, shape (D, V)."""
    day_U = ((log.units["exposed"].to_numpy() - log.started) // DAY).astype(np.int64)
    names = [config.control] if config.interleave else [*config.variants]  # a unit of both is one
    columns = [np.bincount(day_U[(log.units["variant"] == name).to_numpy()], minlength=log.days)[: log.days] for name in names]
    return np.cumsum(np.stack(columns, 1), 0)
