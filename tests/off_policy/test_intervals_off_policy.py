"""Intervals, effective sample size, overlap and the reward model."""

# R requests, E showings

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from genre.evaluation.off_policy.estimators import Contributions
from genre.evaluation.off_policy.intervals import bootstrap, effective_sample_size, empirical_bernstein
from genre.evaluation.off_policy.logged import Logged, NoOverlap
from genre.evaluation.off_policy.overlap import overlap
from genre.evaluation.off_policy.rewards import Rates, RewardModel, folds
from genre.types import Floats


def mean_of(value_R: Floats) -> Contributions:
    return Contributions(np.asarray(value_R, np.float64), np.ones(len(value_R)))


def with_weights(weight_R: Floats) -> Logged:
    n = len(weight_R)
    ones = np.ones((n, 1))
    return Logged(ones, 0.01 * ones, 0.01 * np.asarray(weight_R, np.float64)[:, None], ones > 0, np.arange(n))


def test_the_bootstrap_of_a_mean_is_as_wide_as_the_normal_interval() -> None:
    value_R = np.random.default_rng(0).normal(3.0, 2.0, size=900)
    found = bootstrap(mean_of(value_R), np.arange(900), resamples=2000)
    assert found.mean == pytest.approx(value_R.mean())
    assert found.half == pytest.approx(1.96 * value_R.std() / 30, rel=0.05)


def test_requests_of_one_unit_are_no_independent_evidence() -> None:
    value_R = np.repeat(np.random.default_rng(0).normal(size=50), 20)
    alone = bootstrap(mean_of(value_R), np.arange(1000))
    together = bootstrap(mean_of(value_R), np.repeat(np.arange(50), 20))
    assert together.half == pytest.approx(alone.half * np.sqrt(20), rel=0.15)


def test_a_ratio_is_resampled_as_a_ratio() -> None:
    rng = np.random.default_rng(1)
    weight_R = rng.exponential(size=400)
    found = bootstrap(Contributions(weight_R * 0.7, weight_R), np.arange(400))
    assert found.low == pytest.approx(0.7)
    assert found.high == pytest.approx(0.7)


def test_empirical_bernstein_is_its_formula() -> None:
    value_R = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    found = empirical_bernstein(mean_of(value_R), np.arange(5), 0.0, 1.0, 0.9)
    log_term = math.log(2 / 0.05)
    assert found.high - 0.6 == pytest.approx(math.sqrt(2 * 0.3 * log_term / 5) + 7 * log_term / (3 * 4))
    assert found.low == pytest.approx(1.2 - found.high)


def test_empirical_bernstein_refuses_what_it_is_not_for() -> None:
    with pytest.raises(ValueError, match="ratio of two sums"):
        empirical_bernstein(Contributions(np.ones(3), np.array([1.0, 2.0, 3.0])), np.arange(3), 0, 1)
    with pytest.raises(ValueError, match="outside the range 0 to 1"):
        empirical_bernstein(mean_of(np.array([0.0, 2.0])), np.arange(2), 0, 1)
    alone = empirical_bernstein(mean_of(np.array([0.5])), np.arange(1), 0, 1)
    assert (alone.low, alone.high) == (-math.inf, math.inf)


def test_effective_sample_size_by_hand() -> None:
    assert effective_sample_size(np.ones(10)) == 10
    assert effective_sample_size(np.array([1.0, 0.0, 0.0])) == 1
    assert effective_sample_size(np.array([3.0, 1.0])) == pytest.approx(1.6)
    assert effective_sample_size(np.zeros(3)) == 0


def test_good_overlap_warns_of_nothing() -> None:
    found = overlap(with_weights(np.random.default_rng(0).choice([0.5, 1.5], size=2000)))
    assert found.warnings == ()
    assert found.effective == pytest.approx(1600, rel=0.01)


@pytest.mark.parametrize(
    ("weight_R", "says"),
    [
        (np.ones(50), "50 requests are worth only 50"),
        (np.concatenate([np.ones(500), [100.0]]), "one request carries 17% of all weight"),
        (np.repeat([1.0, 0.0], [700, 300]), "the weights' mean is 0.700, not 1: about 30%"),
        (np.full(1000, 1.3), "the weights' mean is 1.300, and should be 1"),
    ],
)
def test_poor_overlap_is_said(weight_R: Floats, says: str) -> None:
    assert any(says in warning for warning in overlap(with_weights(weight_R)).warnings)


def test_rare_rewards_are_said_to_be_few() -> None:
    logged = with_weights(np.ones(5000))
    reward_RS = np.zeros((5000, 1))
    reward_RS[:8] = 1.0
    seen = overlap(replace(logged, reward_RS=reward_RS))
    assert seen.rewarded == pytest.approx(8)
    assert "are worth only 8.0 of the candidate's own" in seen.warnings[0]


def test_no_overlap_is_an_error() -> None:
    with pytest.raises(NoOverlap, match="of 20 logged slates the candidate could have shown none"):
        overlap(with_weights(np.zeros(20)))


def test_rates_are_clicks_over_expected_clicks() -> None:
    place_E, item_E = np.array([0, 0, 1, 1]).repeat(1000), np.tile([0, 1], 2000)
    rng = np.random.default_rng(0)
    chance = np.array([0.4, 0.1])[place_E] * np.array([1.5, 0.5])[item_E]
    found = Rates.fit((rng.random(4000) < chance).astype(np.float64), place_E, item_E, np.zeros(4000, np.int64), (2, 2, 1), 1.0)
    assert found.place_P == pytest.approx([0.4, 0.1], abs=0.02)
    assert found.item_I == pytest.approx([1.5, 0.5], rel=0.1)
    assert found.group_G == pytest.approx([1.0], rel=0.01)


def test_an_item_never_shown_is_expected_to_be_average() -> None:
    found = Rates.fit(np.ones(3), np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64), (1, 5, 1), 1.0)
    assert found.item_I[1:] == pytest.approx(np.ones(4))


def test_a_request_is_predicted_without_its_own_reward() -> None:
    reward_E = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    zeros = np.zeros(6, np.int64)
    fold_E = np.array([0, 0, 0, 1, 1, 1])
    model = RewardModel.cross_fitted(reward_E, zeros, zeros, zeros, fold_E, (1, 1, 1), prior=1e-9)
    other = RewardModel.cross_fitted(np.array([0.0, 1, 1, 0, 1, 0]), zeros, zeros, zeros, fold_E, (1, 1, 1), prior=1e-9)
    assert model.predict(0, zeros, zeros, zeros) == pytest.approx(other.predict(0, zeros, zeros, zeros))
    assert model.predict(0, zeros, zeros, zeros)[0] == pytest.approx(1 / 3)


def test_losses_are_predicted_below_zero() -> None:
    zeros = np.zeros(40, np.int64)
    item_E = np.arange(40) % 2
    model = RewardModel.cross_fitted(np.where(item_E == 0, 1.0, -2.0), zeros, item_E, zeros, np.arange(40) // 2 % 2, (1, 2, 1), 0.1)
    assert model.predict(0, np.zeros(2, np.int64), np.arange(2), np.zeros(2, np.int64)) == pytest.approx([1.0, -2.0], abs=0.1)


def test_folds_keep_units_together() -> None:
    cluster_R = np.random.default_rng(0).integers(30, size=500)
    fold_R = folds(cluster_R)
    assert all(len(set(fold_R[cluster_R == unit].tolist())) == 1 for unit in range(30))
    assert set(fold_R.tolist()) == set(range(5))
