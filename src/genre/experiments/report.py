"""The report: one self-contained page with the decision, the interval of every day, guardrails, and what it rests on."""

# D days

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from genre.experiments.analysis import Analysis
from genre.experiments.comparison import Comparison, change
from genre.experiments.confidence import Interval
from genre.experiments.loading import written
from genre.pages import environment, write_page

HEIGHT = 220
"""Of a plot, in pixels; its width is that of the page."""
MARGIN = 14
BADGES = {"ship": "good", "hold": "", "stop": "bad"}


@dataclass(frozen=True)
class Bar:
    """One day in a plot: `x` in percent of the width; the wide interval, the narrow one and the value in pixels from the top."""

    x: float
    label: str
    high: float
    low: float
    inner_high: float
    inner_low: float
    y: float


@dataclass(frozen=True)
class Plot:
    """Intervals by day, with lines at round values."""

    bars: tuple[Bar, ...]
    lines: tuple[tuple[float, str], ...]
    zero: float
    height: int = HEIGHT


def write_report(file: Path, analysis: Analysis) -> None:
    """Make the page and write it."""
    write_page(file, render_report(analysis))


def render_report(analysis: Analysis) -> str:
    """The page as text."""
    made = environment("genre.experiments")
    made.filters |= {"change": change, "number": number, "share": lambda value: f"{value:.1%}"}
    config = analysis.config
    primary = [found for found in analysis.comparisons if found.metric == config.primary]
    return made.get_template("experiment.html").render(
        a=analysis,
        config=config,
        badge=BADGES[analysis.decision.verdict],
        primary=[(found, over_time(found)) for found in primary],
        novelty=[(view, by_age(view.days)) for view in analysis.novelty],
        units=[(day + 1, counts.tolist()) for day, counts in enumerate(analysis.units_DV)],
        shares=config.shares(),
        begun=moment(analysis.started),
        ended=moment(analysis.now),
        definition=written(config),
    )


def over_time(found: Comparison) -> Plot:
    """The primary metric: the anytime-valid interval around the fixed-horizon one, a bar a day."""
    return plot([(str(look.day + 1), look.anytime, look.fixed) for look in found.looks], found.relative)


def by_age(days: Sequence[Interval]) -> Plot | None:
    """The lift by day since first show; None without a day."""
    return plot([(str(age + 1), day, day) for age, day in enumerate(days)], True) if days else None


def plot(days: Sequence[tuple[str, Interval, Interval]], percent: bool) -> Plot:
    """Bars that fill the height, zero included. The first days' intervals may be huge: they are cut where they leave the plot."""
    # A scale that the later half of the days fits; earlier ones are cut at the edge.
    late = days[len(days) // 2 :]
    top = max(0.0, *(max(outer.high, inner.high) for _, outer, inner in late))
    bottom = min(0.0, *(min(outer.low, inner.low) for _, outer, inner in late))
    reach = (top - bottom) or 1.0

    def down(value: float) -> float:
        share = min(max((top - value) / reach, -0.03), 1.03)
        return round(MARGIN + share * (HEIGHT - 2 * MARGIN), 1)

    step = _step(reach)
    first = -int(-bottom / step + 1e-9) * step
    lines = []
    while first <= top + 1e-12:
        lines.append((down(first), f"{first:+.3g}" if not percent else f"{100 * first:+.3g} %" if abs(first) > 1e-12 else "0"))
        first += step
    bars = tuple(
        Bar(round(100 * (i + 0.5) / len(days), 2), label if _labelled(i, len(days)) else "", down(outer.high), down(outer.low),
            down(inner.high), down(inner.low), down(outer.value))
        for i, (label, outer, inner) in enumerate(days)
    )  # fmt: skip
    return Plot(bars, tuple(lines), down(0.0))


def _step(reach: float) -> float:
    power = 10.0 ** math.floor(math.log10(reach))
    return next(factor * power for factor in (0.1, 0.2, 0.5, 1.0, 2.0) if reach / (factor * power) <= 5)


def _labelled(i: int, n: int) -> bool:
    return i % (1 if n <= 10 else 2 if n <= 20 else 7) == 0


def number(value: float) -> str:
    """Four digits."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def moment(seconds: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
