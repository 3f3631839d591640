"""The ladder: rungs in order, what each adds to the one before, how sure that is, and what it costs."""

# S seeds, U users, M metrics

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genre.evaluation.intervals import Interval, bootstrap, paired_difference, seed_spread
from genre.evaluation.metrics import Values
from genre.evaluation.protocol import Protocol
from genre.evaluation.result import Result

Verdict = Literal["start", "adds", "no difference", "worse"]


@dataclass(frozen=True)
class Step:
    """What a rung is made from: one system, evaluated once a seed.

    Attributes:
        name: in the config, `sequential`; `label` for people, `ids and text`.
        results: one a seed, on the same users under the same protocol.
        seconds: wall-clock seconds of one training, `cpu_seconds` of all its threads, `peak_mb` the most memory it took for
            itself, beyond what the process held before.
    """

    name: str
    label: str
    results: Sequence[Result]
    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Rung:
    """One line of the ladder.

    Attributes:
        metrics: mean over seeds, then users, with a bootstrap interval over users.
        gains: the difference to the best rung before, paired by user; empty on the first.
        spread: standard deviation over seeds a metric; empty with one seed.
    """

    name: str
    label: str
    metrics: dict[str, Interval]
    gains: dict[str, Interval]
    spread: dict[str, float]
    seeds: int
    seconds: float
    cpu_seconds: float
    peak_mb: float

    def verdict(self, metric: str) -> Verdict:
        """Whether it earned its place: the interval of the gain lies above 0, around it, or below."""
        if metric not in self.gains:
            return "start"
        gain = self.gains[metric]
        return "adds" if gain.low > 0 else "worse" if gain.high < 0 else "no difference"


@dataclass(frozen=True)
class Ladder:
    """Rungs from the plainest system to the fullest, all under one protocol; `main` is the metric that verdicts are about."""

    protocol: Protocol
    main: str
    rungs: tuple[Rung, ...]

    def table(self, *metrics: str) -> tuple[list[str], list[list[str]]]:
        """A header and a row of text a rung; without metrics, the hit rate at the main one's cut-off and the main one."""
        chosen = metrics or tuple(name for name in (f"hit_rate@{self.main.partition('@')[2]}", self.main) if name in self.rungs[0].metrics)
        seeds = max(rung.seeds for rung in self.rungs)
        header = ["rung", *chosen, *(["seed spread"] if seeds > 1 else []), "to the best before", "verdict", "seconds", "CPU s", "peak MB"]
        rows = []
        for rung in self.rungs:
            gain = rung.gains.get(self.main)
            rows.append(
                [
                    rung.label,
                    *(str(rung.metrics[name]) for name in chosen),
                    *([f"{rung.spread[self.main]:.4f}" if rung.spread else "–"] if seeds > 1 else []),
                    signed(gain) if gain else "–",
                    rung.verdict(self.main) if gain else "–",
                    number(rung.seconds),
                    number(rung.cpu_seconds),
                    number(rung.peak_mb),
                ]
            )
        return header, rows

    def caption(self) -> str:
        """The protocol, and over how many seeds values are means."""
        seeds = max(rung.seeds for rung in self.rungs)
        return f"{self.protocol}{f', mean of {seeds} seeds' if seeds > 1 else ''}"

    def save(self, file: Path) -> None:
        """Write as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self) | {"rungs": [asdict(rung) for rung in self.rungs]}

    @classmethod
    def of(cls, saved: dict[str, Any]) -> Ladder:
        """Back from `as_dict`."""
        rungs = tuple(
            Rung(**(rung | {key: {name: Interval(**value) for name, value in rung[key].items()} for key in ("metrics", "gains")}))
            for rung in saved["rungs"]
        )
        return cls(Protocol.of(saved["protocol"]), saved["main"], rungs)

    @classmethod
    def load(cls, file: Path) -> Ladder:
        """Read what `save` wrote."""
        return cls.of(json.loads(file.read_text()))


def climb(steps: Sequence[Step], main: str = "ndcg@10", resamples: int = 1000, seed: int = 0) -> Ladder:
    """Compare steps in order, each with the best of those before, by the main metric.

    Raises:
        ValueError: no steps, a metric that was not measured, or two results that were not judged alike.
    """
    if not steps or not all(step.results for step in steps):
        raise ValueError("a ladder needs at least one evaluated ranker, and each of them a result")
    first = steps[0].results[0]
    names, level = list(first.metrics), first.protocol.level
    if main not in names:
        raise ValueError(f"no metric {main!r}; measured: {', '.join(names)}")
    rungs: list[Rung] = []
    before_SUM: Values | None = None
    for step in steps:
        value_SUM = np.stack([_values(step.name, result, first, names) for result in step.results])
        metrics = bootstrap(value_SUM.mean(0), resamples, level, seed)
        gains = [] if before_SUM is None else paired_difference(value_SUM, before_SUM, resamples, level, seed)
        spread: Values | list[float] = seed_spread(value_SUM) if len(value_SUM) > 1 else []
        rungs.append(
            Rung(
                step.name,
                step.label,
                dict(zip(names, metrics, strict=True)),
                dict(zip(names, gains, strict=False)),
                {name: float(value) for name, value in zip(names, spread, strict=False)},
                len(step.results),
                step.seconds,
                step.cpu_seconds,
                step.peak_mb,
            )
        )
        if before_SUM is None or value_SUM[:, :, names.index(main)].mean() > before_SUM[:, :, names.index(main)].mean():
            before_SUM = value_SUM
    return Ladder(first.protocol, main, tuple(rungs))


def merge(runs: Sequence[Sequence[Step]]) -> list[Step]:
    """The steps of several runs that differ only in their seed as one: all results, mean seconds, largest memory.

    Raises:
        ValueError: the runs do not have the same steps in the same order.
    """
    orders = {tuple(step.name for step in run) for run in runs}
    if len(orders) != 1:
        raise ValueError(f"only runs with the same rankers in the same order can be merged, got {sorted(orders)}")
    merged = []
    for same in zip(*runs, strict=True):
        results = [result for step in same for result in step.results]
        seconds, cpu_seconds = (float(np.mean([getattr(step, cost) for step in same])) for cost in ("seconds", "cpu_seconds"))
        peak_mb = max(step.peak_mb for step in same)
        merged.append(replace(same[0], results=results, seconds=seconds, cpu_seconds=cpu_seconds, peak_mb=peak_mb))
    return merged


def signed(interval: Interval) -> str:
    """A difference as text: `+0.0150 ±0.007`."""
    return f"{'+' if interval.mean >= 0 else '−'}{str(interval).lstrip('-')}"


def number(value: float) -> str:
    """A cost as text, as exact as anyone needs: 0.15, 3.2, 180, 1,250."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _values(name: str, result: Result, first: Result, names: list[str]) -> Values:
    """Metrics a user, shape (U, M)."""
    if result.protocol != first.protocol:
        raise ValueError(f"{name} was judged by ({result.protocol}), the first rung by ({first.protocol}): such figures cannot be compared")
    if not result.per_user["user_idx"].equals(first.per_user["user_idx"]):
        raise ValueError(f"{name} was judged on other users than the first rung: their difference cannot be paired")
    return result.per_user.select(names).to_numpy()
