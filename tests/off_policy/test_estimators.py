"""Estimators against values one can work out, and against the truth where all slates can be listed."""

# R requests, S places, P possible slates, K items

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from genre.evaluation.off_policy import estimators
from genre.evaluation.off_policy.estimators import ESTIMATORS, general_pseudo_inverse, possible
from genre.evaluation.off_policy.logged import Logged, Predicted
from genre.types import Floats


def logged(reward: list[list[float]], logging: list[list[float]], target: list[list[float]], predicted: Predicted | None = None) -> Logged:
    reward_RS = np.array(reward, np.float64)
    filled_RS = np.ones(reward_RS.shape, bool)
    return Logged(reward_RS, np.array(logging), np.array(target), filled_RS, np.arange(len(reward_RS)), predicted)


ONE_PLACE = logged(
    [[1.0], [0.0], [2.0]],
    [[0.5], [0.5], [0.25]],
    [[0.25], [1.0], [0.5]],
    Predicted(np.array([[0.6], [0.2], [1.5]]), np.array([[0.5], [0.4], [1.0]]), np.array([[0.5], [0.4], [1.0]])),
)
"""Weights 0.5, 2, 2; residuals 0.4, -0.2, 0.5."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ips", (0.5 * 1 + 2 * 0 + 2 * 2) / 3),
        ("snips", (0.5 * 1 + 2 * 0 + 2 * 2) / 4.5),
        ("dm", (0.5 + 0.4 + 1.0) / 3),
        ("dr", (0.5 + 0.5 * 0.4 + 0.4 + 2 * -0.2 + 1.0 + 2 * 0.5) / 3),
    ],
)
def test_estimates_by_hand(name: str, value: float) -> None:
    assert ESTIMATORS[name](ONE_PLACE).estimate == pytest.approx(value)


def test_switch_is_the_model_above_the_threshold_and_dr_below() -> None:
    assert estimators.switch_dr(ONE_PLACE, 0.0).estimate == pytest.approx(estimators.dm(ONE_PLACE).estimate)
    assert estimators.switch_dr(ONE_PLACE, 1.0).estimate == pytest.approx((0.5 + 0.5 * 0.4 + 0.4 + 1.0) / 3)
    assert estimators.switch_dr(ONE_PLACE, 9.0).estimate == pytest.approx(estimators.dr(ONE_PLACE).estimate)


def test_switch_gives_up_weights_that_cost_more_than_they_tell() -> None:
    rng = np.random.default_rng(0)
    n = 2000
    logging_RS = np.where(rng.random((n, 1)) < 0.01, 1e-4, 0.5)
    reward_RS = (rng.random((n, 1)) < 0.3).astype(np.float64)
    model = np.full((n, 1), 0.3)
    given = Logged(reward_RS, logging_RS, np.full((n, 1), 0.5), np.ones((n, 1), bool), np.arange(n), Predicted(model, model, model))
    assert estimators.switch_threshold(given) < 5000
    assert abs(estimators.switch_dr(given).estimate - 0.3) < abs(estimators.dr(given).estimate - 0.3)


def test_slate_estimates_by_hand() -> None:
    # Two places: weights 2 then 2 * 0.5, and 0.5 then 0.5 * 4.
    reward, shown = [[1.0, 1.0], [0.0, 3.0]], np.array([[0.8, 0.6], [0.1, 2.0]])
    given, drawn = np.array([[0.7, 0.5], [0.3, 1.0]]), np.array([[0.7, 0.4], [0.3, 0.9]])
    two = logged(reward, [[0.25, 0.5], [0.5, 0.25]], [[0.5, 0.25], [0.25, 1.0]], Predicted(shown, given, drawn))
    assert two.weight_RS.tolist() == [[2.0, 1.0], [0.5, 2.0]]
    assert estimators.ips(two).estimate == pytest.approx((1.0 * 2 + 2.0 * 3) / 2)
    assert estimators.cascade_ips(two).estimate == pytest.approx((2 * 1 + 1 * 1 + 0.5 * 0 + 2 * 3) / 2)
    first = 0.7 + 0.4 + 2.0 * (1.0 - 0.8 + 0.5 - 0.4) + 1.0 * (1.0 - 0.6)
    second = 0.3 + 0.9 + 0.5 * (0.0 - 0.1 + 1.0 - 0.9) + 2.0 * (3.0 - 2.0)
    assert estimators.cascade_dr(two).estimate == pytest.approx((first + second) / 2)
    marginal = replace(two, logging_marginal_RS=two.logging_RS, target_marginal_RS=two.target_RS)
    assert estimators.pseudo_inverse(marginal).estimate == pytest.approx(((2 + 0.5 - 1) * 2 + (0.5 + 4 - 1) * 3) / 2)


def test_cascade_dr_of_one_place_is_dr() -> None:
    assert estimators.cascade_dr(ONE_PLACE).value_R == pytest.approx(estimators.dr(ONE_PLACE).value_R)


def test_the_logging_policy_itself_is_estimated_by_its_mean() -> None:
    same = ONE_PLACE.as_logged()
    assert estimators.ips(same).estimate == estimators.snips(same).estimate == pytest.approx(1.0)


def test_short_slates_have_weight_one_where_there_is_no_place() -> None:
    given = Logged(
        np.array([[1.0, 0.0]]), np.array([[0.5, 1.0]]), np.array([[0.25, 1.0]]), np.array([[True, False]]), np.zeros(1, np.int64)
    )
    assert estimators.ips(given).estimate == estimators.cascade_ips(given).estimate == pytest.approx(0.5)


def test_only_what_a_log_has_everything_for_is_offered() -> None:
    assert set(possible(ONE_PLACE)) == {"ips", "snips", "dm", "dr", "switch_dr"}
    assert set(possible(replace(ONE_PLACE, predicted=None))) == {"ips", "snips"}
    with pytest.raises(ValueError, match="dr needs a reward model's predictions"):
        estimators.dr(replace(ONE_PLACE, predicted=None))
    with pytest.raises(ValueError, match="marginal probability"):
        estimators.pseudo_inverse(ONE_PLACE)


class Listed:
    """Slates of two of four items, by two Plackett-Luce policies, with rewards that depend on item and place: everything is exact."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.slates = list(permutations(range(4), 2))
        self.reward_SK = rng.random((2, 4))
        self.logging_K, self.target_K = np.exp(rng.normal(size=4)), np.exp(rng.normal(size=4))
        self.model_SK = rng.random((2, 4))
        self.value = float(self.joint(self.target_K) @ [self.reward_SK[[0, 1], slate].sum() for slate in self.slates])

    def conditional(self, weight_K: Floats) -> Floats:
        return np.array([[weight_K[a] / weight_K.sum(), weight_K[b] / (weight_K.sum() - weight_K[a])] for a, b in self.slates])

    def joint(self, weight_K: Floats) -> Floats:
        return np.asarray(self.conditional(weight_K).prod(1))

    def log(self) -> Logged:
        """Every slate once; to be averaged by how likely it is under the logging policy."""
        target_P = self.joint(self.target_K)
        shown_PS = np.array([self.model_SK[[0, 1], slate] for slate in self.slates])
        given_PS = np.empty((12, 2))
        for p, (first, _) in enumerate(self.slates):
            given_PS[p, 0] = self.target_K @ self.model_SK[0] / self.target_K.sum()
            rest_K = np.where(np.arange(4) == first, 0.0, self.target_K)
            given_PS[p, 1] = rest_K @ self.model_SK[1] / rest_K.sum()
        drawn_PS = np.tile(target_P @ shown_PS, (12, 1))
        reward_PS = np.array([self.reward_SK[[0, 1], slate] for slate in self.slates])
        logging_PS, target_PS = self.conditional(self.logging_K), self.conditional(self.target_K)
        return Logged(reward_PS, logging_PS, target_PS, np.ones((12, 2), bool), np.arange(12), Predicted(shown_PS, given_PS, drawn_PS))


@pytest.mark.parametrize("name", ["ips", "dr", "cascade_ips", "cascade_dr"])
def test_estimators_are_unbiased_whatever_the_model(name: str) -> None:
    for seed in range(3):
        world = Listed(seed)
        found = ESTIMATORS[name](world.log())
        assert world.joint(world.logging_K) @ found.value_R == pytest.approx(world.value)


def test_the_direct_method_is_as_wrong_as_its_model() -> None:
    world = Listed()
    expected = float(world.joint(world.target_K) @ [world.model_SK[[0, 1], slate].sum() for slate in world.slates])
    assert world.joint(world.logging_K) @ estimators.dm(world.log()).value_R == pytest.approx(expected)
    assert expected != pytest.approx(world.value, abs=0.01)


def test_cascade_dr_with_the_true_model_has_less_variance_than_ips() -> None:
    world = Listed()
    world.model_SK = world.reward_SK
    log, logging_P = world.log(), world.joint(world.logging_K)
    variance = {}
    for name in ("ips", "cascade_ips", "cascade_dr"):
        value_P = ESTIMATORS[name](log).value_R
        variance[name] = float(logging_P @ np.square(value_P - world.value))
    assert variance["cascade_dr"] < 0.3 * variance["cascade_ips"] < 0.3 * variance["ips"]


def test_the_general_pseudo_inverse_is_unbiased_for_rewards_that_add_up() -> None:
    world = Listed()
    slate_PX = np.zeros((12, 8))
    for p, (first, second) in enumerate(world.slates):
        slate_PX[p, [first, 4 + second]] = 1.0
    logging_P, target_P = world.joint(world.logging_K), world.joint(world.target_K)
    weight_P = general_pseudo_inverse(slate_PX, logging_P, target_P)
    reward_P = world.log().total_R
    assert logging_P @ (weight_P * reward_P) == pytest.approx(world.value)
    ips_P = target_P / logging_P
    assert logging_P @ np.square(weight_P * reward_P) < logging_P @ np.square(ips_P * reward_P)


def test_the_pseudo_inverse_of_independent_places_is_a_sum_of_ratios() -> None:
    logging_SK, target_SK = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]), np.array([[0.2, 0.2, 0.6], [0.3, 0.3, 0.4]])
    slates = [(a, b) for a in range(3) for b in range(3)]
    slate_PX = np.zeros((9, 6))
    for p, (first, second) in enumerate(slates):
        slate_PX[p, [first, 3 + second]] = 1.0
    logging_P, target_P = (np.array([pi[0, a] * pi[1, b] for a, b in slates]) for pi in (logging_SK, target_SK))
    logging_PS, target_PS = (np.array([[pi[0, a], pi[1, b]] for a, b in slates]) for pi in (logging_SK, target_SK))
    given = Logged(
        np.ones((9, 2)), logging_PS, target_PS, np.ones((9, 2), bool), np.arange(9),
        logging_marginal_RS=logging_PS, target_marginal_RS=target_PS,
    )  # fmt: skip
    assert estimators.pseudo_inverse(given).value_R / 2 == pytest.approx(general_pseudo_inverse(slate_PX, logging_P, target_P))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"logging_RS": np.array([[0.5], [0.0], [0.25]])}, "request 1, place 0: a logged propensity is not above 0"),
        ({"logging_RS": np.array([[0.5], [0.5], [1.5]])}, "request 2, place 0: a logged propensity is not above 0 and at most 1"),
        ({"logging_RS": np.array([[np.nan], [0.5], [0.5]])}, "request 0, place 0: a logged propensity"),
        ({"target_RS": np.array([[0.5], [-0.1], [0.5]])}, "request 1, place 0: a candidate's probability is not between 0 and 1"),
        ({"reward_RS": np.array([[0.5], [np.nan], [0.5]])}, "request 1, place 0: a reward is not finite"),
        ({"target_RS": np.ones((3, 2))}, r"target has shape \(3, 2\), rewards \(3, 1\)"),
        ({"cluster_R": np.zeros(2, np.int64)}, "one cluster a request"),
        ({"logging_marginal_RS": np.zeros((3, 1))}, "a logged marginal propensity is not above 0"),
    ],
)
def test_a_log_that_cannot_be_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(ONE_PLACE, **change)
