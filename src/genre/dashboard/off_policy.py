"""Off-policy: what a policy would have earned on lists that another one showed, by several estimators side by side."""

from __future__ import annotations

from dataclasses import dataclass

from genre.dashboard.charts import Bin, heights
from genre.dashboard.frame import Frame, State, render


@dataclass(frozen=True)
class Estimate:
    """An estimator's answer with its interval; `trusted` is false where too few lists carry it."""

    estimator: str
    value: float
    low: float
    high: float
    note: str = ""
    trusted: bool = True


@dataclass(frozen=True)
class Bar:
    """An estimate in the plot, in percent of its width."""

    estimate: Estimate
    low: float
    x: float
    high: float


@dataclass(frozen=True)
class OffPolicyView:
    """What was asked and estimated.

    Attributes:
        candidates: policies that may be asked about; `candidate` is the one that was.
        logged: the reward of what was logged; `truth` what an experiment has told since.
        weights: histogram of importance weights; `effective` is the effective sample size of `lists` lists.
        advice: the verdict, which `warnings` say how far to believe.
    """

    frame: Frame
    candidates: tuple[str, ...] = ()
    candidate: str = ""
    reward: str = ""
    logged: Estimate | None = None
    estimates: tuple[Estimate, ...] = ()
    lists: int = 0
    effective: float | None = None
    largest_weight: float | None = None
    weights: tuple[Bin, ...] = ()
    truth: Estimate | None = None
    advice: str = ""
    warnings: tuple[str, ...] = ()
    advice_state: State = "idle"

    @property
    def heights(self) -> list[float]:
        """Of the histogram's bars."""
        return heights(self.weights)


def bars(view: OffPolicyView) -> list[Bar]:
    """All estimates on one scale: what was logged first, an experiment's result last."""
    every = [one for one in (view.logged, *view.estimates, view.truth) if one is not None]
    low, high = min((one.low for one in every), default=0.0), max((one.high for one in every), default=1.0)
    reach = (high - low) or 1.0

    def across(value: float) -> float:
        return round(2 + 96 * (value - low) / reach, 2)

    return [Bar(one, across(one.low), across(one.value), across(one.high)) for one in every]


def render_off_policy(view: OffPolicyView) -> str:
    """The page."""
    return render("off_policy.html", view, "off-policy", bars=bars(view))
