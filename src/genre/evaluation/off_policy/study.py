"""A study: every estimator side by side with its intervals, the overlap, and a verdict in words."""

# R requests

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genre.evaluation.intervals import Interval
from genre.evaluation.off_policy.estimators import Contributions, ips, possible
from genre.evaluation.off_policy.intervals import empirical_bernstein, interval, resampled
from genre.evaluation.off_policy.logged import Logged
from genre.evaluation.off_policy.overlap import FEW, Overlap, overlap

PREFERRED = ("cascade_dr", "dr", "cascade_ips", "snips")
"""The verdict is by the first of these that the log has everything for: place by place before whole slates, models before none."""
SAID = {
    "ips": "rewards weighted by how much likelier the slate is",
    "snips": "the same, divided by the sum of the weights",
    "dm": "what the reward model expects; the interval ignores its error",
    "dr": "the model, corrected by weighted residuals",
    "switch_dr": "as dr, but the model alone where weights are large",
    "cascade_ips": "ips place by place: no place depends on those below",
    "cascade_dr": "dr place by place",
    "pseudo_inverse": "for rewards that add up over independent places",
}


@dataclass(frozen=True)
class Line:
    """One estimator.

    Attributes:
        value: reward a request, with its bootstrap interval over units.
        bernstein: the empirical Bernstein interval, whose range is that of the contributions seen; None for a ratio.
        gain: the difference to what was logged, on the same requests.
    """

    name: str
    value: Interval
    bernstein: Interval | None
    gain: Interval


@dataclass(frozen=True)
class Study:
    """What a log says of a candidate.

    Attributes:
        logged: reward a request of the policy that was logged.
        main: the estimator that the verdict is by.
    """

    requests: int
    units: int
    logged: Interval
    lines: tuple[Line, ...]
    overlap: Overlap
    main: str
    level: float

    def line(self, name: str) -> Line:
        """The line of an estimator."""
        return next(line for line in self.lines if line.name == name)

    @property
    def verdict(self) -> str:
        """In words."""
        gain, value, effective = self.line(self.main).gain, self.line(self.main).value, self.overlap.effective
        figures = (
            f"{_number(value.mean)} a request against {_number(self.logged.mean)} logged, a difference of {_number(gain.mean, True)} "
            f"({_number(gain.low, True)} to {_number(gain.high, True)}) by {self.main}"
        )
        if effective < FEW / 4:
            return (
                f"cannot be said: the log is worth only {effective:,.0f} requests of the candidate's own. For what it is worth: {figures}"
            )
        if gain.low > 0:
            word = "better"
        elif gain.high < 0:
            word = "worse"
        else:
            word = "no difference can be shown"
        doubt = ", but read the warnings first" if self.overlap.warnings else ""
        return f"{word}{doubt}: {figures}"

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A header and a row of text an estimator."""
        header = ["estimator", "reward a request", f"{self.level:.0%} bootstrap", "empirical Bernstein", "to the logged", "what it is"]
        rows = [["(logged)", _number(self.logged.mean), _span(self.logged), "–", "–", "what the log itself earned"]]
        for line in self.lines:
            bernstein = "–" if line.bernstein is None else _span(line.bernstein)
            gain = f"{_number(line.gain.mean, True)} ({_number(line.gain.low, True)} to {_number(line.gain.high, True)})"
            rows.append([line.name, _number(line.value.mean), _span(line.value), bernstein, gain, SAID[line.name]])
        return header, rows

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, the verdict included."""
        return {**asdict(self), "verdict": self.verdict}


def study(logged: Logged, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> Study:
    """Every estimator that the log has everything for.

    Raises:
        NoOverlap: the candidate would have shown none of what was logged.
    """
    seen = overlap(logged)
    itself = ips(logged.as_logged())
    estimators = possible(logged)
    found = {name: estimator(logged) for name, estimator in estimators.items()}
    estimate_ZP = resampled([itself, *found.values()], logged.cluster_R, resamples, seed)
    lines = [
        Line(
            name,
            interval(one.estimate, estimate_ZP[:, place], level),
            _bernstein(one, logged, level),
            interval(one.estimate - itself.estimate, estimate_ZP[:, place] - estimate_ZP[:, 0], level),
        )
        for place, (name, one) in enumerate(found.items(), 1)
    ]
    main = next(name for name in PREFERRED if name in estimators)
    value = interval(itself.estimate, estimate_ZP[:, 0], level)
    return Study(len(logged), len(np.unique(logged.cluster_R)), value, tuple(lines), seen, main, level)


def _bernstein(found: Contributions, logged: Logged, level: float) -> Interval | None:
    if not (found.share_R == 1.0).all():
        return None
    return empirical_bernstein(found, logged.cluster_R, float(found.value_R.min()), float(found.value_R.max()), level)


def _number(value: float, signed: bool = False) -> str:
    return f"{value:+.4f}".replace("-", "−") if signed else f"{value:.4f}"


def _span(interval: Interval) -> str:
    return f"{_number(interval.low)} to {_number(interval.high)}"
