"""What is known of one system after the contest, and the tables that are printed of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

K = 10
"""The cut-off of every figure."""


@dataclass
class Outcome:
    """One system under one protocol.

    Attributes:
        valid_ndcg: the best validation NDCG@10, reached after `cpu_to_best` CPU seconds of training, with the setting `valid_label`.
        cpu_seconds: of training in all, for a grid all of its settings together, without evaluations.
        cut: its budget, in CPU minutes, was spent before it stopped by itself.
        test: each test metric with its interval (mean, low, high), of the model that was best on validation.
        trace: every validation in order: `epoch`, `cpu_seconds`, `ndcg`, `label`.
    """

    system: str
    version: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    neural: bool = False
    budget: float = 0.0
    valid_ndcg: float = 0.0
    valid_label: str = ""
    cpu_to_best: float = 0.0
    cpu_seconds: float = 0.0
    cut: bool = False
    failed: str = ""
    test: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    trace: list[dict[str, Any]] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """As JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> Outcome:
        """What `save` wrote."""
        return cls(**json.loads(file.read_text()))

    def seen(self, epoch: int, cpu_seconds: float, ndcg: float, label: str = "") -> None:
        """One validation."""
        self.trace.append({"epoch": epoch, "cpu_seconds": cpu_seconds, "ndcg": round(ndcg, 5), "label": label})
        self.cpu_seconds = cpu_seconds
        if ndcg > self.valid_ndcg:
            self.valid_ndcg, self.valid_label, self.cpu_to_best = ndcg, label, cpu_seconds

    def passes(self, ndcg: float) -> float | None:
        """CPU seconds until a validation was better than `ndcg`, all of them for what is not learnt in epochs; None if none was."""
        if not self.trace:
            return self.cpu_seconds if self.valid_ndcg > ndcg else None
        return next((seen["cpu_seconds"] for seen in self.trace if seen["ndcg"] > ndcg), None)


def section(name: str, protocol: str, ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> str:
    """One data set under one protocol: quality and cost of every system, then how soon those of ours with a trace pass each neural peer."""
    rows = []
    for found in [*ours, *sorted(theirs, key=lambda outcome: -outcome.valid_ndcg)]:
        if found.failed:
            rows.append([found.system, found.version, "failed", "", "", "", "", found.failed])
            continue
        note = "; ".join(word for word in (f"cut at {found.budget:g} min" if found.cut else "", found.valid_label) if word)
        figures = [_interval(found.test.get(f"{metric}@{K}")) for metric in ("hit_rate", "ndcg")]
        rows.append(
            [
                found.system,
                found.version,
                f"{found.valid_ndcg:.4f}",
                *figures,
                _seconds(found.cpu_to_best),
                _seconds(found.cpu_seconds),
                note,
            ]
        )
    header = ["system", "version", f"valid NDCG@{K}", f"test HR@{K}", f"test NDCG@{K}", "CPU s to best", "CPU s in all", "note"]
    parts = [f"## {name}", protocol[:1].upper() + protocol[1:] + ".", table(header, rows, "llrrrrrl")]
    rivals = [outcome for outcome in theirs if outcome.neural and not outcome.failed]
    if rivals:
        parts += [_race(runner, rivals) for runner in ours if runner.trace]
    return "\n\n".join(parts)


def _race(runner: Outcome, rivals: Sequence[Outcome]) -> str:
    """CPU time until the runner is better on validation than each rival ever was, and than the best of them."""
    marks = [(rival.system, rival.valid_ndcg, rival.cpu_to_best) for rival in rivals]
    if len(rivals) > 1:
        marks.append(("the better, in the quicker's time", max(mark[1] for mark in marks), min(mark[2] for mark in marks)))
    rows = []
    for name, ndcg, seconds in marks:
        passed = runner.passes(ndcg)
        row = [name, f"{ndcg:.4f}", _seconds(seconds), "never" if passed is None else _seconds(passed)]
        rows.append([*row, "" if passed is None else f"1/{seconds / passed:.1f}"])
    header = ["rival", f"its best valid NDCG@{K}", "after CPU s", f"{runner.system} passes it after CPU s", "share of its time"]
    return table(header, rows, "lrrrr")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A Markdown table whose columns line up in plain text too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.rjust(width) if side == "r" else cell.ljust(width) for cell, width, side in zip(cells, widths, align, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = "|".join(f"{'-' * (width + 1)}:" if side == "r" else "-" * (width + 2) for width, side in zip(widths, align, strict=True))
    return "\n".join([line(header), f"|{rule}|", *(line(row) for row in rows)])


def _interval(value: tuple[float, float, float] | None) -> str:
    return "" if value is None else f"{value[0]:.4f} ±{(value[2] - value[1]) / 2:.4f}"


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
