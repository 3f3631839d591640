"""Calibration: probabilities that mean what they say, made so on held-out labels (Platt, 1999) and measured there."""

# E entries

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from genre.types import Floats

SMALLEST = 1e-7


@dataclass(frozen=True)
class Believed:
    """How far chances may be believed, by labels that nothing was learnt from.

    Attributes:
        log_loss: mean cross-entropy in nats; `by_share` is what the labels' own mean, said of every entry, would reach.
        error: expected calibration error.
        mean: of the chances; `share` is that of the labels.
    """

    entries: int
    log_loss: float
    by_share: float
    error: float
    mean: float
    share: float

    @classmethod
    def of(cls, probability_E: Floats, label_E: Floats) -> Self:
        """Measure."""
        share = float(label_E.mean())
        plain = mean_log_loss(np.full(len(label_E), share), label_E)
        error = calibration_error(probability_E, label_E)
        return cls(len(label_E), mean_log_loss(probability_E, label_E), plain, error, float(probability_E.mean()), share)

    def __str__(self) -> str:
        return (
            f"log-loss {self.log_loss:.5f} (their share alone: {self.by_share:.5f}), calibration error {self.error:.5f}, "
            f"mean {self.mean:.5f} where {self.share:.5f} is right, over {self.entries:,} candidates"
        )


@dataclass(frozen=True)
class Platt:
    """Probability = sigmoid(slope x logit + shift)."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, logit_E: Floats) -> Floats:
        """Probabilities; an increasing function of the logits, so that no order changes."""
        return sigmoid(self.slope * logit_E + self.shift)


def platt(logit_E: Floats, label_E: Floats, examined_E: Floats | None = None, rounds: int = 50) -> Platt:
    """The slope (above 0) and shift that make held-out labels likeliest, by Newton's method with a little shrinkage towards (1, 0).

    Args:
        label_E: 0 or 1, or a share between.
        examined_E: how likely each entry was looked at; what is calibrated is the probability given that it was. None: all were.
    """
    if logit_E.shape != label_E.shape:
        raise ValueError(f"{logit_E.shape} logits, {label_E.shape} labels")
    examined_E = np.ones(len(logit_E)) if examined_E is None else examined_E
    design_E2 = np.stack([logit_E, np.ones(len(logit_E))], axis=1).astype(np.float64)
    point, start = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    damping = 1e-3
    value = _loss(point, design_E2, label_E, examined_E, start)
    for _ in range(rounds):
        q_E = sigmoid(design_E2 @ point)
        p_E = np.clip(examined_E * q_E, SMALLEST, 1 - SMALLEST)
        slope_E = (p_E - label_E) / (1 - p_E) * (1 - q_E)  # of the loss, by the logit
        weight_E = np.maximum(p_E * (1 - q_E) ** 2 / (1 - p_E), 1e-9)  # Fisher information, always positive
        gradient = design_E2.T @ slope_E + (point - start)
        hessian = (design_E2 * weight_E[:, None]).T @ design_E2 + np.eye(2)
        step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
        tried = point - step
        tried[0] = max(tried[0], 1e-3)
        reached = _loss(tried, design_E2, label_E, examined_E, start)
        if reached > value:
            damping *= 10
            if damping > 1e6:
                break
            continue
        done = value - reached < 1e-9 * max(abs(value), 1.0)
        point, value, damping = tried, reached, damping / 3
        if done:
            break
    return Platt(float(point[0]), float(point[1]))


def mean_log_loss(probability_E: Floats, label_E: Floats) -> float:
    """Mean cross-entropy in nats; what the mean of the labels alone would reach is `mean_log_loss(mean, labels)`."""
    p_E = np.clip(probability_E, SMALLEST, 1 - SMALLEST)
    return float(-(label_E * np.log(p_E) + (1 - label_E) * np.log1p(-p_E)).mean())


def calibration_error(probability_E: Floats, label_E: Floats, bins: int = 20) -> float:
    """Expected calibration error: in bins of equally many entries, |mean probability - mean label|, averaged by entries."""
    if probability_E.shape != label_E.shape:
        raise ValueError(f"{probability_E.shape} probabilities, {label_E.shape} labels")
    order = np.argsort(probability_E, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(abs(probability_E[part].sum() - label_E[part].sum()) for part in parts) / max(len(order), 1))


def sigmoid(logit_E: Floats) -> Floats:
    """Without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit_E)))


def _loss(point: Floats, design_E2: Floats, label_E: Floats, examined_E: Floats, start: Floats) -> float:
    p_E = np.clip(examined_E * sigmoid(design_E2 @ point), SMALLEST, 1 - SMALLEST)
    return float(-(label_E * np.log(p_E) + (1 - label_E) * np.log1p(-p_E)).sum() + 0.5 * ((point - start) ** 2).sum())
