"""Bandits: what they believe, how they learn, merge and are saved."""

# K candidates, D dimensions

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from genre.component import build
from genre.policies import Policy
from genre.policies.bandit import BanditPolicy
from genre.policies.linucb import LinUCBPolicy
from genre.policies.posterior import LinearPosterior
from genre.testing import check_policy, small_candidates
from genre.types import Candidates, Floats, Slate


def bandit(**settings: Any) -> BanditPolicy:
    policy = build(Policy, {"use": "thompson", **settings})
    assert isinstance(policy, BanditPolicy)
    return policy


def fed(policy: Policy, rounds: int, seed: int) -> Policy:
    rng = np.random.default_rng(seed)
    for turn in range(rounds):
        slate = policy.select(small_candidates(policy, turn % 7), 5, rng)
        policy.update(slate, (rng.random(5) < 0.3).astype(np.float64))
    return policy


def test_the_posterior_is_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    x_EF, reward_E = rng.normal(size=(50, 3)), rng.normal(size=50)
    prior_F = np.array([0.0, 1.0, 0.0])
    posterior = LinearPosterior(prior_F, 2.0)
    posterior.learn(np.zeros(50, np.int64), x_EF, reward_E)
    precision_FF = 2.0 * np.eye(3) + x_EF.T @ x_EF
    weight_F = np.linalg.solve(precision_FF, 2.0 * prior_F + x_EF.T @ reward_E)
    assert posterior.mean_HF[0] == pytest.approx(weight_F)
    mean_K, width_K = posterior.predict(np.zeros(1, np.int64), np.array([[1.0, 2.0, 3.0]]))
    assert mean_K[0] == pytest.approx(weight_F @ [1, 2, 3])
    assert width_K[0] ** 2 == pytest.approx(np.array([1.0, 2, 3]) @ np.linalg.inv(precision_FF) @ [1, 2, 3])


def test_many_heads_learn_at_once_as_each_alone() -> None:
    rng = np.random.default_rng(1)
    head_E, x_EF, reward_E = rng.integers(4, size=60), rng.normal(size=(60, 3)), rng.normal(size=60)
    together = LinearPosterior(np.zeros(3), 1.0)
    together.add_heads(3)
    together.learn(head_E, x_EF, reward_E)
    for head in range(4):
        alone = LinearPosterior(np.zeros(3), 1.0)
        rows = head_E == head
        alone.learn(np.zeros(rows.sum(), np.int64), x_EF[rows], reward_E[rows])
        assert together.mean_HF[head] == pytest.approx(alone.mean_HF[0])
        assert together.inverse_HFF[head] == pytest.approx(alone.inverse_HFF[0])


def test_the_inverse_stays_exact_over_thousands_of_updates() -> None:
    rng = np.random.default_rng(2)
    posterior = LinearPosterior(np.zeros(5), 0.1)
    posterior.learn(np.zeros(2500, np.int64), rng.normal(size=(2500, 5)) * [1, 1, 1, 1e-3, 1e3], rng.normal(size=2500))
    assert posterior.inverse_HFF[0] @ posterior.precision_HFF[0] == pytest.approx(np.eye(5), abs=1e-6)


def test_posterior_draws_have_the_posteriors_spread() -> None:
    rng = np.random.default_rng(3)
    posterior = LinearPosterior(np.zeros(2), 1.0)
    posterior.learn(np.zeros(20, np.int64), rng.normal(size=(20, 2)) * [3.0, 0.1], rng.normal(size=20))
    x_KF, heads_K = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.zeros(3, np.int64)
    width_K = posterior.predict(heads_K, x_KF)[1]
    deviation_MK = posterior.deviations(width_K, x_KF, 20_000, rng)
    assert deviation_MK.std(axis=0) == pytest.approx(width_K, rel=0.03)
    assert np.asarray(np.corrcoef(deviation_MK.T))[1, 2] > 0.9  # both rest on the second weight, which little is known of


def test_a_new_bandit_ranks_as_the_ranker_does() -> None:
    given = small_candidates(bandit())
    wanted = given.item_idx_K[np.argsort(-given.scores_K)][:5].tolist()
    assert build(Policy, {"use": "linucb", "alpha": 0.0}).select(given, 5, np.random.default_rng(0)).item_idx.tolist() == wanted


@pytest.mark.parametrize("use", ["linucb", "thompson"])
@pytest.mark.parametrize("per_item", [False, True])
def test_bandits_that_have_learnt_conform(use: str, per_item: bool) -> None:
    check_policy(fed(build(Policy, {"use": use, "per_item": per_item, "dim": 3}), 30, 0))


@pytest.mark.parametrize("use", ["linucb", "thompson"])
@pytest.mark.parametrize("per_item", [False, True])
def test_bandits_find_what_the_ranker_got_wrong(use: str, per_item: bool) -> None:
    # The ranker's favourites earn nothing; item 7, its last, and whatever looks like it, is always clicked.
    rng = np.random.default_rng(0)
    vectors_KD = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    given = Candidates(np.arange(8), np.linspace(1, 0, 8), vectors_KD)
    policy = build(Policy, {"use": use, "per_item": per_item, "noise": 0.2} if use == "thompson" else {"use": use, "per_item": per_item})
    shown = []
    for _ in range(400):
        slate = policy.select(given, 1, rng)
        policy.update(slate, (slate.item_idx == 7).astype(np.float64))
        shown.append(int(slate.item_idx[0]))
    assert shown[0] != 7
    assert np.mean(np.array(shown[-100:]) == 7) > 0.9


def test_places_nobody_looked_at_teach_nothing() -> None:
    policy = bandit()
    slate = policy.select(small_candidates(policy), 2, np.random.default_rng(0))
    before = {name: array.copy() for name, array in policy.posterior.state().items()}
    policy.update(slate, np.array([np.nan, np.nan]))
    assert all(np.array_equal(before[name], array) for name, array in policy.posterior.state().items())


@pytest.mark.parametrize("per_item", [False, True])
def test_merged_replicas_know_what_one_that_saw_everything_knows(per_item: bool, tmp_path: Path) -> None:
    base = bandit(per_item=per_item, dim=2)
    fed(base, 10, 0)
    base.save(tmp_path)
    replicas = []
    slates: list[tuple[Slate, Floats]] = []
    for number in range(3):
        replica = Policy.load(tmp_path)
        assert isinstance(replica, BanditPolicy)
        rng = np.random.default_rng(number + 1)
        for turn in range(20):
            slate = replica.select(small_candidates(replica, 3 * turn + number), 4, rng)
            clicked_n = (rng.random(4) < 0.4).astype(np.float64)
            replica.update(slate, clicked_n)
            slates.append((slate, clicked_n))
        replicas.append(replica)
    one = Policy.load(tmp_path)
    for slate, reward_n in slates:
        one.update(slate, reward_n)
    base.merge(replicas)
    assert isinstance(one, BanditPolicy)
    for item in range(100, 130):
        ours, theirs = base.heads(np.array([item]))[0], one.heads(np.array([item]))[0]
        assert base.posterior.mean_HF[ours] == pytest.approx(one.posterior.mean_HF[theirs])
        assert base.posterior.inverse_HFF[ours] == pytest.approx(one.posterior.inverse_HFF[theirs])
    assert base.posterior.count_H.sum() == one.posterior.count_H.sum()


def test_what_was_no_copy_cannot_be_merged() -> None:
    base, stranger = bandit(), bandit()
    fed(base, 3, 0)
    with pytest.raises(ValueError, match="was not loaded from this one"):
        base.merge([stranger])
    with pytest.raises(ValueError, match="same settings"):
        base.merge([bandit(ridge=2.0)])


def test_a_saved_bandit_goes_on_bit_for_bit_as_it_would_have(tmp_path: Path) -> None:
    policy = bandit(per_item=True)
    fed(policy, 20, 0)
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    fed(policy, 5, 1)
    fed(loaded, 5, 1)
    assert isinstance(loaded, BanditPolicy)
    assert all(np.array_equal(array, loaded.posterior.state()[name]) for name, array in policy.posterior.state().items())


def test_a_chain_learns_and_is_saved_through_its_bandit(tmp_path: Path) -> None:
    chain = build(Policy, {"use": "chain", "of": [{"use": "thompson", "dim": 2}, {"use": "caps", "most": {"brand": 1}}]})
    fed(chain, 10, 0)
    chain.save(tmp_path)
    given = small_candidates(chain)
    slates = [policy.select(given, 4, np.random.default_rng(5)) for policy in (chain, Policy.load(tmp_path))]
    assert np.array_equal(slates[0].item_idx, slates[1].item_idx)
    assert np.array_equal(slates[0].propensities, slates[1].propensities)
    assert not np.array_equal(slates[0].propensities, build(Policy, chain.config).select(given, 4, np.random.default_rng(5)).propensities)
    with pytest.raises(ValidationError, match="only one policy of a chain can learn; linucb, thompson do"):
        build(Policy, {"use": "chain", "of": ["linucb", "thompson"]})


@pytest.mark.parametrize(
    ("slate", "reward", "says"),
    [
        (Slate(np.arange(2), np.ones(2)), np.zeros(2), "lacks the features"),
        (Slate(np.arange(2), np.ones(2), np.zeros((2, 5))), np.zeros(2), "lacks the features"),
        (Slate(np.arange(2), np.ones(2), np.zeros((2, 7))), np.zeros(3), "one finite reward"),
        (Slate(np.arange(2), np.ones(2), np.zeros((2, 7))), np.array([np.inf, 0]), "one finite reward"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(slate: Slate, reward: Floats, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        bandit(dim=2).update(slate, reward)


def test_another_encoder_is_noticed() -> None:
    policy = bandit()
    fed(policy, 1, 0)
    given = Candidates(np.arange(3), np.ones(3), np.eye(3))
    with pytest.raises(ValueError, match="learnt from item vectors of 4 dimensions, and these have 3"):
        policy.select(given, 1, np.random.default_rng(0))


@pytest.mark.parametrize("per_item", [False, True])
def test_what_was_shown_and_what_it_earned_add_up_in_any_order(per_item: bool) -> None:
    rng = np.random.default_rng(5)
    bandit = LinUCBPolicy(LinUCBPolicy.Config(per_item=per_item, dim=2))
    features_EF = rng.normal(size=(60, len(bandit.posterior.prior_F)))
    item_idx_E, reward_E = rng.integers(0, 5, 60), rng.normal(size=60)
    bandit.learn(item_idx_E, features_EF, reward_E)
    apart = LinUCBPolicy(bandit.config)
    items, features = np.tile(item_idx_E, 2), np.tile(features_EF, (2, 1))
    rewards, shown = np.concatenate([np.zeros(60), reward_E]), np.repeat([True, False], 60)
    for rows in np.split(rng.permutation(120), [1, 4, 90, 91]):
        apart.learn(items[rows], features[rows], rewards[rows], shown[rows])
    for item in range(5):
        one, other = (policy.posterior.state() for policy in (bandit, apart))
        at = int(bandit.heads(np.array([item]))[0]), int(apart.heads(np.array([item]))[0])
        for name in ("precision_HFF", "inverse_HFF", "target_HF", "mean_HF", "count_H"):
            assert one[name][at[0]] == pytest.approx(other[name][at[1]], abs=1e-9), name


def test_a_reward_for_events_that_there_are_not_is_refused() -> None:
    assert LinUCBPolicy.Config(rewards={"purchase": 3, "custom:read": 1}).rewards["purchase"] == 3
    with pytest.raises(ValidationError, match="no event of type 'clik'; did you mean 'click'"):
        LinUCBPolicy.Config(rewards={"clik": 1})
    with pytest.raises(ValidationError, match="custom:anything"):
        LinUCBPolicy.Config(rewards={"buy": 1})
