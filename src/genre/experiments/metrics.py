"""Metrics as sums a unit: every one is a numerator over a denominator, so rates, means and ratios share one analysis."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import polars as pl
from pydantic import AfterValidator, Field, PositiveFloat

from genre.component import Settings
from genre.types import Floats
from genre.vocabulary import EVENTS

SHOWN = "exposure"
"""Stands for a row of the exposures log: one list that was shown."""


def check_event(name: str) -> str:
    """An event type that a log may hold.

    Raises:
        ValueError: no such type; the message names the closest.
    """
    if name in EVENTS or name == SHOWN or (name.startswith("custom:") and len(name) > 7):
        return name
    near = difflib.get_close_matches(name, EVENTS, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(EVENTS)}, {SHOWN} (a list shown), or custom:NAME"
    raise ValueError(f"there is no event type {name!r}; {hint}")


Event = Annotated[str, AfterValidator(check_event)]


class _Metric(Settings, ABC):
    better: Literal["higher", "lower"] = "higher"
    """Which direction is good for the business."""

    @abstractmethod
    def numerator(self) -> Mapping[str, float | None]:
        """Event types and what one counts in the numerator; None is the event's own `value`."""

    def denominator(self) -> str | None:
        """The event type that is counted below the line; None divides by the number of units."""
        return None

    def shape(self, sum_U: Floats) -> Floats:
        """What a unit's summed numerator becomes."""
        return sum_U


class Rate(_Metric):
    """The share of units that did it at least once."""

    use: Literal["rate"] = "rate"
    event: Event

    def numerator(self) -> Mapping[str, float | None]:
        """See the base."""
        return {self.event: 1.0}

    def shape(self, sum_U: Floats) -> Floats:
        """Once or more is once."""
        return np.minimum(sum_U, 1.0)


class Mean(_Metric):
    """Events, or the sum of their values, a unit."""

    use: Literal["mean"] = "mean"
    event: Event
    of: Literal["count", "value"] = "count"
    """`value` sums what the events carry: revenue, seconds."""
    cap: PositiveFloat | None = None
    """A unit counts at most so much: one bulk buyer in a hundred thousand otherwise decides the test."""

    def numerator(self) -> Mapping[str, float | None]:
        """See the base."""
        return {self.event: 1.0 if self.of == "count" else None}

    def shape(self, sum_U: Floats) -> Floats:
        """Capped if asked."""
        return sum_U if self.cap is None else np.minimum(sum_U, self.cap)


class Ratio(_Metric):
    """Events of one type for each of another: clicks an impression. The interval is by the delta method, with the unit as cluster."""

    use: Literal["ratio"] = "ratio"
    event: Event
    per: Event
    """What it is divided by; `exposure` is a list shown."""
    of: Literal["count", "value"] = "count"
    """`value` sums what the events above the line carry."""

    def numerator(self) -> Mapping[str, float | None]:
        """See the base."""
        return {self.event: 1.0 if self.of == "count" else None}

    def denominator(self) -> str | None:
        """See the base."""
        return self.per


class Value(_Metric):
    """The value model: every event type has its worth, which may be negative."""

    use: Literal["value"] = "value"
    weights: dict[Event, Annotated[float, Field(allow_inf_nan=False)]] = Field(min_length=1)
    """What one event of each type is worth."""
    per: Event | None = None
    """None: the value of a unit; `exposure`: of a list shown."""

    def numerator(self) -> Mapping[str, float | None]:
        """See the base."""
        return dict(self.weights)

    def denominator(self) -> str | None:
        """See the base."""
        return self.per


class Degraded(_Metric):
    """The share of lists that were answered degraded: a source or the ranker was down or late."""

    use: Literal["degraded"] = "degraded"
    better: Literal["higher", "lower"] = "lower"

    def numerator(self) -> Mapping[str, float | None]:
        """Exposures carry it as their value."""
        return {SHOWN: None}

    def denominator(self) -> str | None:
        """A list shown."""
        return SHOWN


Metric = Annotated[Rate | Mean | Ratio | Value | Degraded, Field(discriminator="use")]


def row_sums(metrics: Mapping[str, Metric], event: pl.Expr, value: pl.Expr) -> list[pl.Expr]:
    """What a log's row adds to each metric, as sums for a group_by: columns `NAME.num` and `NAME.den`."""
    sums = []
    for name, metric in metrics.items():
        added = pl.lit(0.0)
        for kind, worth in metric.numerator().items():
            added = pl.when(event == kind).then(value if worth is None else worth).otherwise(added)
        below = metric.denominator()
        sums.append(added.sum().alias(f"{name}.num"))
        sums.append((pl.lit(0.0) if below is None else (event == below).cast(pl.Float64)).sum().alias(f"{name}.den"))
    return sums


def sum_columns(metrics: Mapping[str, Metric]) -> list[str]:
    """The names that `row_sums` gives."""
    return [f"{name}.{part}" for name in metrics for part in ("num", "den")]


def valued(metrics: Mapping[str, Metric]) -> set[str]:
    """Event types whose `value` some metric sums."""
    return {kind for metric in metrics.values() for kind, worth in metric.numerator().items() if worth is None and kind != SHOWN}
