"""Charts: series over time for the browser to draw, each also a table; bars that need no script."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["count", "percent", "ms", "number", "change"]


@dataclass(frozen=True)
class Series:
    """Values at the chart's times; None where there is none. `low` and `high` are series that the browser shades between."""

    label: str
    values: tuple[float | None, ...]
    role: Literal["line", "low", "high"] = "line"


@dataclass(frozen=True)
class Chart:
    """Lines over time, or over days if `days`.

    Attributes:
        label: what it shows, for who cannot see it.
        x: unix seconds, ascending; or days.
    """

    label: str
    x: tuple[float, ...]
    series: tuple[Series, ...]
    unit: Unit = "count"
    days: bool = False

    def __post_init__(self) -> None:
        if any(len(series.values) != len(self.x) for series in self.series):
            raise ValueError(f"chart {self.label!r}: every series needs {len(self.x)} values")

    @property
    def data(self) -> str:
        """For the script, as JSON; it goes into an attribute, where the template escapes it."""
        series = [{"label": one.label, "values": [_finite(v) for v in one.values], "role": one.role} for one in self.series]
        return json.dumps({"x": list(self.x), "series": series, "unit": self.unit, "days": self.days}, allow_nan=False)

    @property
    def heads(self) -> list[str]:
        """Of the table with the same figures; # marks a column of numbers."""
        return ["day" if self.days else "time (UTC)", *(f"#{one.label}" for one in self.series)]

    def say(self, value: float | None) -> str:
        """A value in the chart's unit."""
        if value is None or not math.isfinite(value):
            return "–"
        return {
            "count": f"{value:,.0f}", "percent": f"{100 * value:.3g} %", "ms": f"{value:.3g} ms", "number": f"{value:.4g}",
            "change": f"{100 * value:+.2f} %",
        }[self.unit]  # fmt: skip


@dataclass(frozen=True)
class Bin:
    """A bar of a histogram."""

    label: str
    count: float


def heights(bins: Sequence[Bin]) -> list[float]:
    """Each bar as percent of the highest."""
    highest = max((one.count for one in bins), default=0.0)
    return [round(100 * one.count / highest, 1) if highest else 0.0 for one in bins]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
