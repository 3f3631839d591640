"""Intervals against the synthetic world, whose truth is known: of 95 % intervals, at least 93 % must hold it."""

# R requests, S places, U users, N items

from __future__ import annotations

import numpy as np
import pytest

from genre.data.synthetic import World, WorldConfig, plackett_luce
from genre.evaluation.off_policy.estimators import possible
from genre.evaluation.off_policy.intervals import bootstrap, empirical_bernstein
from genre.evaluation.off_policy.logged import Logged, Predicted
from genre.types import Floats, Ints

ROUNDS = 1500
WORLD = World(WorldConfig(users=200, items=30, seed=0, new_items=0.0, reluctance=0.5, position_bias=0.5))
ALL = np.arange(200)
STATE = WORLD.fresh(200)
UTILITY_UN = WORLD.utility(ALL, STATE)
LOGGING_UN = 0.5 * np.broadcast_to(WORLD.quality_N, UTILITY_UN.shape)
TARGET_UN = 0.5 * LOGGING_UN + 0.5 * UTILITY_UN
"""The candidate knows a little of each user's taste, which the logging policy does not."""


def chances(places: int) -> Floats:
    """Probability of a click on each item at each place, shape (S, U, N)."""
    item_US = np.broadcast_to(np.arange(30), (200, 30))
    plain_UN = WORLD.click_probability(ALL, STATE, item_US) / WORLD.examination(30)
    return WORLD.examination(places)[:, None, None] * plain_UN


def conditional(logit_UN: Floats, item_RS: Ints, user_R: Ints) -> Floats:
    """Of each item at each place given those above, shape (R, S, N), under Plackett-Luce."""
    rest_RN = np.exp(logit_UN[user_R])
    found = np.empty((*item_RS.shape, rest_RN.shape[1]))
    for place in range(item_RS.shape[1]):
        found[:, place] = rest_RN / rest_RN.sum(1, keepdims=True)
        rest_RN[np.arange(len(user_R)), item_RS[:, place]] = 0.0
    return found


def truth(places: int) -> float:
    """What the candidate earns a request: by many slates of every user, in expectation over clicks."""
    rng = np.random.default_rng(0)
    total, chance_SUN = [], chances(places)
    for _ in range(400):
        item_US, _ = plackett_luce(TARGET_UN, places, rng)
        total.append(sum(chance_SUN[place][ALL, item_US[:, place]].mean() for place in range(places)))
    return float(np.mean(total))


def log_of(seed: int, places: int, chance_SUN: Floats) -> Logged:
    """Requests of users drawn at random; the reward model knows places and items, but no tastes."""
    rng = np.random.default_rng(seed)
    user_R = rng.integers(200, size=ROUNDS)
    item_RS, logging_RS = plackett_luce(LOGGING_UN[user_R], places, rng)
    rows, at = np.arange(ROUNDS), np.arange(places)
    reward_RS = (rng.random(item_RS.shape) < chance_SUN[at, user_R[:, None], item_RS]).astype(np.float64)
    target_RSN = conditional(TARGET_UN, item_RS, user_R)
    model_SN = chance_SUN.mean(1) * 0.8  # wrong, too
    drawn_RS = np.zeros(item_RS.shape)
    for _ in range(4):
        drawn_RS += model_SN[at, plackett_luce(TARGET_UN[user_R], places, rng)[0]] / 4
    predicted = Predicted(model_SN[at, item_RS], (target_RSN * model_SN).sum(2), drawn_RS)
    target_RS = target_RSN[rows[:, None], at, item_RS]
    return Logged(reward_RS, logging_RS, target_RS, np.ones(item_RS.shape, bool), rows, predicted)


def covered(worlds: int, places: int, resamples: int) -> dict[str, float]:
    """Share of worlds whose interval holds the truth, an estimator."""
    value, chance_SUN = truth(places), chances(places)
    hits: dict[str, list[bool]] = {}
    for seed in range(worlds):
        logged = log_of(seed, places, chance_SUN)
        for name, estimator in possible(logged).items():
            if name == "dm":  # as wrong as its model, which is wrong here
                continue
            found = estimator(logged)
            interval = bootstrap(found, logged.cluster_R, resamples, seed=seed)
            hits.setdefault(name, []).append(interval.low <= value <= interval.high)
            if name in ("ips", "cascade_dr", "dr"):
                bound = empirical_bernstein(found, logged.cluster_R, float(found.value_R.min()), float(found.value_R.max()))
                hits.setdefault(f"{name}, Bernstein", []).append(bound.low <= value <= bound.high)
    return {name: float(np.mean(hit)) for name, hit in hits.items()}


@pytest.mark.parametrize("places", [1, 3])
def test_intervals_hold_the_truth_in_a_few_worlds(places: int) -> None:
    found = covered(40, places, 200)
    assert all(share >= 0.85 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("places", [1, 3])
def test_intervals_hold_the_truth_in_300_worlds(places: int) -> None:
    found = covered(300, places, 1000)
    assert all(share >= 0.93 for share in found.values()), found
