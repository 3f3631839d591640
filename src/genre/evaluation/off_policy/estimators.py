"""Estimators: each turns a log into one contribution a request, whose mean (or ratio of sums) estimates the candidate's value."""

# R requests, S places

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genre.evaluation.off_policy.logged import Logged, Predicted
from genre.types import Floats


@dataclass(frozen=True)
class Contributions:
    """The estimate is sum(value_R) / sum(share_R).

    Attributes:
        share_R: all ones but for a self-normalised estimator.
    """

    value_R: Floats
    share_R: Floats

    @property
    def estimate(self) -> float:
        """The candidate's value: reward a request."""
        total = float(self.share_R.sum())
        return float(self.value_R.sum() / total) if total else float("nan")


Estimator = Callable[[Logged], Contributions]


def ips(logged: Logged) -> Contributions:
    """Inverse propensity score (Horvitz and Thompson, 1952): rewards times how much likelier the slate is. Unbiased, of high variance."""
    return _mean(logged.weight_R * logged.total_R)


def snips(logged: Logged) -> Contributions:
    """Self-normalised IPS (Swaminathan and Joachims, 2015): divided by the weights' sum. Biased a little, of much less variance."""
    return Contributions(logged.weight_R * logged.total_R, logged.weight_R)


def dm(logged: Logged) -> Contributions:
    """Direct method: what the reward model says of the slates that the candidate would show. As wrong as the model."""
    return _mean(_model(logged, "dm").drawn_RS.sum(1))


def dr(logged: Logged) -> Contributions:
    """Doubly robust (Dudik, Langford and Li, 2011): the model, corrected by IPS where it was wrong. Unbiased whatever the model."""
    model = _model(logged, "dr")
    residual_R = (logged.reward_RS - model.shown_RS).sum(1)
    return _mean(model.drawn_RS.sum(1) + logged.weight_R * residual_R)


def switch_dr(logged: Logged, threshold: float | None = None) -> Contributions:
    """SWITCH (Wang, Agarwal and Dudik, 2017): as DR, but the model alone where the weight is above the threshold.

    Without a threshold, the one with the least estimated mean squared error is taken, as `switch_threshold` has it.
    """
    model = _model(logged, "switch_dr")
    threshold = switch_threshold(logged) if threshold is None else threshold
    kept_R = np.where(logged.weight_R <= threshold, logged.weight_R, 0.0)
    return _mean(model.drawn_RS.sum(1) + kept_R * (logged.reward_RS - model.shown_RS).sum(1))


def switch_threshold(logged: Logged, grid: int = 20) -> float:
    """The threshold with the least variance plus squared bias, where the bias is taken for as large as it could be.

    That is: every correction given up, all of one sign, weighed among all corrections; a share cannot exceed 1, so it stays sober where
    weights are huge.
    """
    model, weight_R = _model(logged, "switch_dr"), logged.weight_R
    if not weight_R.any():
        return np.inf
    residual_R = (logged.reward_RS - model.shown_RS).sum(1)
    best, chosen = np.inf, np.inf
    for threshold in np.unique(np.append(np.quantile(weight_R[weight_R > 0], np.linspace(0, 1, grid)), 0.0)):
        kept_R = np.where(weight_R <= threshold, weight_R, 0.0)
        variance = float((model.drawn_RS.sum(1) + kept_R * residual_R).var()) / len(logged)
        bias = float(((weight_R - kept_R) * np.abs(residual_R)).sum() / weight_R.sum())
        if variance + bias**2 <= best:
            best, chosen = variance + bias**2, float(threshold)
    return chosen


def cascade_ips(logged: Logged) -> Contributions:
    """IPS place by place (McInerney and others, 2020): a place's reward needs only the places down to it, so weights are smaller.

    Right where what is earned at a place does not depend on the places below.
    """
    return _mean((logged.weight_RS * logged.reward_RS).sum(1))


def cascade_dr(logged: Logged) -> Contributions:
    """Cascade doubly robust (Kiyohara and others, 2022): the model, corrected place by place. For slates of one place it is DR."""
    model = _model(logged, "cascade_dr")
    # What the candidate's own slates earn stands for the future, whatever was picked; any other guess would be unbiased, too.
    surprise_RS = logged.reward_RS - model.shown_RS
    surprise_RS[:, :-1] += (model.given_RS - model.drawn_RS)[:, 1:]
    start_R = model.given_RS[:, 0] + model.drawn_RS[:, 1:].sum(1)
    return _mean(start_R + (logged.weight_RS * surprise_RS).sum(1))


def pseudo_inverse(logged: Logged) -> Contributions:
    """Pseudo-inverse (Swaminathan and others, 2017): for rewards that add up over items, and places that were logged independently.

    Weights add up over places instead of multiplying: sum of ratios of marginal probabilities, less the number of places, plus 1.
    `general_pseudo_inverse` is for places that depend on each other.
    """
    if logged.logging_marginal_RS is None or logged.target_marginal_RS is None:
        raise ValueError("pseudo_inverse needs the marginal probability of each pick at its place, under both policies")
    ratio_RS = np.where(logged.filled_RS, logged.target_marginal_RS / logged.logging_marginal_RS - 1.0, 0.0)
    return _mean((1.0 + ratio_RS.sum(1)) * logged.total_R)


def general_pseudo_inverse(slate_PX: Floats, logging_P: Floats, target_P: Floats) -> Floats:
    """Weight of each of P possible slates under the pseudo-inverse estimator, where all slates can be listed.

    Args:
        slate_PX: 1 where slate p has item a at place s, X = all pairs of place and item.
        logging_P, target_P: how likely each slate is under the two policies.
    """
    if not (len(slate_PX) == len(logging_P) == len(target_P)):
        raise ValueError(f"one probability a slate is needed: {len(slate_PX)} slates, {len(logging_P)} and {len(target_P)} probabilities")
    moments_XX = slate_PX.T @ (logging_P[:, None] * slate_PX)
    return np.asarray(slate_PX @ (np.linalg.pinv(moments_XX, hermitian=True) @ (slate_PX.T @ target_P)))


ESTIMATORS: dict[str, Estimator] = {
    "ips": ips, "snips": snips, "dm": dm, "dr": dr, "switch_dr": switch_dr,
    "cascade_ips": cascade_ips, "cascade_dr": cascade_dr, "pseudo_inverse": pseudo_inverse,
}  # fmt: skip
"""By the names that are printed."""


def possible(logged: Logged) -> dict[str, Estimator]:
    """The estimators that a log has everything for; those of slates only where slates have more than one place."""
    needs_model = {"dm", "dr", "switch_dr", "cascade_dr"}
    left_out = set() if logged.predicted is not None else needs_model
    if logged.places == 1:
        left_out |= {"cascade_ips", "cascade_dr"}
    if logged.places == 1 or logged.logging_marginal_RS is None or logged.target_marginal_RS is None:
        left_out |= {"pseudo_inverse"}
    return {name: estimator for name, estimator in ESTIMATORS.items() if name not in left_out}


def _mean(value_R: Floats) -> Contributions:
    return Contributions(value_R, np.ones(len(value_R)))


def _model(logged: Logged, name: str) -> Predicted:
    if logged.predicted is None:
        raise ValueError(f"{name} needs a reward model's predictions, and there are none: it has to know every item's chances")
    return logged.predicted
