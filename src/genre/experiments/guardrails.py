"""Guardrails: what must not get worse by more than a margin, whatever the primary metric says."""

# U units, A answers

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from genre.experiments.comparison import Comparison, early
from genre.experiments.confidence import Interval, anytime_half, none_seen
from genre.experiments.coverage import of_coverage
from genre.experiments.definition import ExperimentConfig, LatencyGuardrail, MetricGuardrail
from genre.experiments.logs import Log
from genre.experiments.metrics import SHOWN
from genre.experiments.moments import Moments

State = Literal["ok", "open", "broken"]


@dataclass(frozen=True)
class Outcome:
    """A guardrail and a treatment.

    Attributes:
        state: `broken`: worse than the margin, at all times certain; `ok`: certainly within, or none in any list; `open`: too early, or
            nothing to measure by.
        worse: by how much it got worse, as a share of control; of latency, the share of answers beyond the tolerated time above what is
            usual; None where nothing is known.
        text: one sentence.
    """

    name: str
    variant: str
    state: State
    worse: Interval | None
    margin: float
    text: str
    stop: bool
    prove: bool


def guard(config: ExperimentConfig, log: Log, comparisons: Sequence[Comparison], alpha: float) -> tuple[Outcome, ...]:
    """Every guardrail for every treatment."""
    found = {(one.metric, one.variant): one for one in comparisons}
    outcomes = []
    for name, rail in config.guardrails.items():
        for variant in config.treatments:
            if isinstance(rail, MetricGuardrail):
                worse, told = of_metric(found.get((rail.metric, variant)))
            elif isinstance(rail, LatencyGuardrail):
                worse, told = of_latency(config, log, variant, rail, alpha)
            else:
                worse, told = of_coverage(config, log, variant, alpha)
            # Latency is judged as a share of answers beyond the tolerated time, so the margin is in that time already.
            edge = 0.0 if isinstance(rail, LatencyGuardrail) else rail.margin
            state: State = "open" if worse is None else "broken" if worse.low > edge else "ok" if worse.high <= edge else "open"
            if worse is None and isinstance(rail, MetricGuardrail) and (health := of_health(config, log, variant, rail, alpha)) is not None:
                state, told = "ok", health
            words = {"broken": "certainly beyond the margin", "ok": "within the margin", "open": "not certain yet"}[state]
            outcomes.append(
                Outcome(name, variant, state, worse, rail.margin, f"{told}; tolerated {rail.margin:.1%}: {words}", rail.stop, rail.prove)
            )
    return tuple(outcomes)


def of_metric(comparison: Comparison | None) -> tuple[Interval | None, str]:
    """The worsening of a metric as a share of control."""
    if comparison is None:
        return None, "nothing measured yet"
    at = comparison.share
    assert at is not None  # an interleaved experiment has no guardrails
    worse = at if comparison.better == "lower" else Interval(-at.value, -at.high, -at.low)
    if not comparison.control:
        worse = replace(worse, value=np.inf)
    return worse, f"{comparison.control:.4g} → {comparison.treatment:.4g}, {in_words(worse)}"


def of_health(config: ExperimentConfig, log: Log, variant: str, rail: MetricGuardrail, alpha: float) -> str | None:
    """What is told by the lists themselves, such as degraded ones, and is in none of them; None if it is another metric, or in some."""
    if SHOWN not in config.metrics[rail.metric].numerator():
        return None
    variant_U = log.units["variant"].to_numpy()
    shown = log.daily.filter(pl.col(f"{rail.metric}.den") > 0)
    row_S, seen = shown["row"].to_numpy(), shown[f"{rail.metric}.num"].to_numpy()
    n = {name: len(np.unique(row_S[variant_U[row_S] == name])) for name in (config.control, variant)}
    if seen[np.isin(variant_U[row_S], [*n])].any() or min(n.values()) < config.min_units:
        return None
    most = " and ".join(f"{none_seen(units, alpha / 2):.2%} of units of {name}" for name, units in n.items())
    return f"none in either: at most {most}"


def in_words(worse: Interval) -> str:
    """By how much it got worse, or better."""
    told = [f"{abs(x):.1%} {'worse' if x > 0 else 'better'}" for x in (worse.value, worse.low, worse.high)]
    if np.isfinite([worse.low, worse.high]).all():
        return f"{told[0]} ({told[1]} to {told[2]})"
    if np.isfinite([worse.low, worse.high]).any():
        return f"at least {told[1] if np.isfinite(worse.low) else told[2]}"
    return "too few to say by which share"


def of_latency(config: ExperimentConfig, log: Log, variant: str, rail: LatencyGuardrail, alpha: float) -> tuple[Interval | None, str]:
    """How much more than its share of answers takes longer than the tolerated time; units are the clusters.

    "The 99th percentile is above L" is "more than 1 % of answers take longer than L". The chance in control's own quantile enters as
    the chance in the share of control's answers beyond it.
    """
    row_A, latency_A = log.answers["row"].to_numpy(), log.answers["latency"].to_numpy()
    variant_U = log.units["variant"].to_numpy()
    mine = {name: variant_U[row_A] == name for name in (config.control, variant)}
    if min(len(np.unique(row_A[here])) for here in mine.values()) < config.min_units:
        return None, "too few units with timed answers yet"
    usual, now = (float(np.quantile(latency_A[mine[name]], rail.quantile)) for name in (config.control, variant))
    limits = {config.control: usual, variant: usual * (1 + rail.margin)}
    shares = []
    for name, limit in limits.items():
        above_U = np.bincount(row_A[mine[name]], latency_A[mine[name]] > limit, len(variant_U))
        all_U = np.bincount(row_A[mine[name]], minlength=len(variant_U))
        sums_UK = np.zeros((int((variant_U == name).sum()), 4))
        sums_UK[:, 0], sums_UK[:, 1] = above_U[variant_U == name], all_U[variant_U == name]
        shares.append(share_of(Moments.of(sums_UK)))
    (usual_share, usual_variance), (share, variance) = shares
    se, n = np.sqrt(usual_variance + variance), np.asarray(len(variant_U))
    half = float(anytime_half(se, n, early(config), alpha))
    beyond = share - usual_share
    told = f"p{100 * rail.quantile:g} {usual:.3g} ms → {now:.3g} ms"
    return Interval(beyond, beyond - half, beyond + half), told


def share_of(arm: Moments) -> tuple[float, float]:
    """A ratio and its variance."""
    gradient_K, _ = arm.gradients()
    return float(arm.value), float(gradient_K @ arm.cov_KK @ gradient_K / arm.n)
