"""Confidence: an interval for one look at the end, and a sequence of intervals that may be looked at every day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from genre.types import Floats


@dataclass(frozen=True)
class Interval:
    """An estimate and the range that the data do not rule out."""

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """All of it."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """All of it."""
        return self.high < 0


def fixed_half(se: Floats, dof: Floats, alpha: float = 0.05) -> Floats:
    """Half the width of Welch's two-sided interval: right once, at the end that was planned; looked at daily it lies far too often."""
    return np.asarray(special.stdtrit(dof, 1 - alpha / 2) * se)


def fixed_p(estimate: Floats, se: Floats, dof: Floats) -> Floats:
    """Welch's two-sided p-value; 1 where nothing varied."""
    return np.where(se > 0, 2 * special.stdtr(dof, -np.abs(_z(estimate, se))), 1.0)


def mixture(planned: float, alpha: float = 0.05) -> float:
    """The mixing variance ρ² by which the sequence is tightest when `planned` units are in."""
    return float(-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / planned


def anytime_half(se: Floats, n: Floats, planned: float, alpha: float = 0.05) -> Floats:
    """Half the width of an asymptotic confidence sequence after n units: it covers at all times at once with probability 1 − alpha.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", 2024,
    equation (2), written with the standard error se = σ/√n. At `planned` units it is 1.55 times as wide as the fixed interval (alpha 0.05).
    """
    scale = np.asarray(n, np.float64) * mixture(planned, alpha)
    return np.asarray(se * np.sqrt(2 * (scale + 1) / scale * np.log(np.sqrt(scale + 1) / alpha)))


def anytime_p(estimate: Floats, se: Floats, n: Floats, planned: float, alpha: float = 0.05) -> Floats:
    """The smallest level whose sequence, with the same mixing variance, leaves out zero; 1 where none does or nothing varied."""
    scale = np.asarray(n, np.float64) * mixture(planned, alpha)
    exponent = _z(estimate, se) ** 2 * scale / (2 * (scale + 1))
    return np.where(se > 0, np.minimum(1.0, np.sqrt(scale + 1) * np.exp(-exponent)), 1.0)


def none_seen(n: int, alpha: float = 0.05) -> float:
    """The largest rate that n trials without an event leave open, anytime-valid: to bet all against a rate p pays 1 / (1 - p) a trial."""
    return float(1 - alpha ** (1 / n))


def as_share(control: Floats, treatment: Floats, se_control: Floats, se_treatment: Floats, edge: Floats) -> tuple[Floats, Floats]:
    """The interval of (treatment - control) / |control|: all shares that the two, `edge` standard errors around, do not rule out.

    Fieller's (1954): it leaves out zero exactly when `edge` standard errors around the difference do. Where control may be zero, no share
    is ruled out but on the side of a difference that is certain, and that is divided by the most that control may be.
    """
    size, sign = np.abs(control), np.where(np.asarray(control) < 0, -1.0, 1.0)
    noise, spread = (edge * se_control) ** 2, (edge * se_treatment) ** 2
    below = size**2 - noise
    clear = below > 0
    root = np.sqrt(np.maximum(spread * below + noise * np.asarray(treatment) ** 2, 0.0))
    ends = [np.divide(size * treatment + side * root, below, out=np.zeros_like(root), where=clear) - sign for side in (-1, 1)]
    diff, half, most = treatment - control, edge * np.hypot(se_control, se_treatment), size + edge * se_control
    low, high = (np.divide(end, most, out=np.zeros_like(root), where=most > 0) for end in (diff - half, diff + half))
    return (
        np.where(clear, ends[0], np.where(low > 0, low, -np.inf)),
        np.where(clear, ends[1], np.where(high < 0, high, np.inf)),
    )


def _z(estimate: Floats, se: Floats) -> Floats:
    return np.divide(estimate, se, out=np.zeros(np.broadcast(estimate, se).shape), where=np.asarray(se) > 0)
