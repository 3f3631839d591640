"""What each policy promises beyond the conformance checks, by numbers one can do by hand or by brute force."""

# K candidates, n places, D dimensions

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from genre.component import build
from genre.data.synthetic import plackett_luce
from genre.policies import Policy
from genre.policies.plackett_luce import log_propensities
from genre.types import Candidates, Floats, Slate

ITEMS = np.arange(10, 15)


def candidates(scores: Any, **known: Any) -> Candidates:
    scores_K = np.asarray(scores, np.float64)
    return Candidates(np.arange(10, 10 + len(scores_K)), scores_K, **known)


def select(settings: dict[str, Any], given: Candidates, n: int, seed: int = 0) -> Slate:
    return build(Policy, settings).select(given, n, np.random.default_rng(seed))


def slate_probability(policy: Policy, given: Candidates, items: Any) -> float:
    shown = np.array(items)
    probability_nK = policy.probabilities(given, shown, np.random.default_rng(0))
    return float(probability_nK[np.arange(len(shown)), shown - 10].prod())


def test_greedy_takes_the_best_and_equals_in_order() -> None:
    slate = select({"use": "greedy"}, candidates([0.1, 0.9, 0.9, 0.4]), 3)
    assert slate.item_idx.tolist() == [11, 12, 13]
    assert slate.propensities.tolist() == [1, 1, 1]


def test_plackett_luce_propensities_are_softmax_of_what_is_left() -> None:
    policy = build(Policy, {"use": "plackett_luce", "scores": "raw", "temperature": 1.0})
    given = candidates(np.log([1, 2, 5]))
    assert slate_probability(policy, given, [12, 10]) == pytest.approx(5 / 8 * 1 / 3)
    slate = policy.select(given, 3, np.random.default_rng(4))
    weight = np.array([1, 2, 5])[slate.item_idx - 10]
    assert slate.propensities == pytest.approx(weight / np.cumsum(weight[::-1])[::-1])


def test_plackett_luce_draws_slates_as_often_as_it_says() -> None:
    policy = build(Policy, {"use": "plackett_luce", "scores": "raw", "temperature": 0.5})
    given = candidates([0.2, 0.9, 0.5, 0.0])
    rng = np.random.default_rng(0)
    drawn = [tuple(policy.select(given, 2, rng).item_idx.tolist()) for _ in range(6000)]
    for slate in permutations((10, 11, 12, 13), 2):
        expected = slate_probability(policy, given, slate)
        assert drawn.count(slate) / 6000 == pytest.approx(expected, abs=4.5 * np.sqrt(expected / 6000))


def test_plackett_luce_agrees_with_the_synthetic_worlds() -> None:
    logit_K = np.random.default_rng(1).normal(size=30)
    item_BS, propensity_BS = plackett_luce(logit_K[None], 8, np.random.default_rng(2))
    assert np.exp(log_propensities(logit_K, item_BS[0])) == pytest.approx(propensity_BS[0])


def test_plackett_luce_keeps_its_precision_when_nearly_greedy() -> None:
    # The first pick leaves 1e-300 of the mass: a difference of sums would be 0, or worse.
    picks = np.array([0, 1, 2])
    found = log_propensities(np.array([0.0, -700.0, -701.0, -702.0]), picks)
    assert found[0] == pytest.approx(0.0)
    assert found[1] == pytest.approx(-np.log(1 + np.exp(-1) + np.exp(-2)))
    assert found[2] == pytest.approx(-np.log(1 + np.exp(-1)))


def test_epsilon_spreads_its_share_over_what_is_left() -> None:
    policy = build(Policy, {"use": "epsilon", "epsilon": 0.3})
    given = candidates([3.0, 2.0, 1.0])
    assert slate_probability(policy, given, [10]) == pytest.approx(0.7 + 0.1)
    assert slate_probability(policy, given, [12, 10]) == pytest.approx(0.1 * (0.7 + 0.15))
    assert slate_probability(policy, given, [12, 10, 11]) == pytest.approx(0.1 * 0.85)


def test_mmr_weighs_score_against_the_closest_item_above() -> None:
    # The second best is a copy of the best: with scores 3, 2.9, 1 and half diversity, the third gets 0.5 against 1.45 - 0.5.
    given = candidates([3.0, 2.9, 1.0], vectors_KD=np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert select({"use": "mmr", "scores": "raw", "diversity": 0.5}, given, 3).item_idx.tolist() == [10, 11, 12]
    assert select({"use": "mmr", "scores": "raw", "diversity": 0.7}, given, 3).item_idx.tolist() == [10, 12, 11]
    assert select({"use": "mmr", "diversity": 0.0}, given, 3).item_idx.tolist() == [10, 11, 12]
    assert select({"use": "mmr", "diversity": 1.0}, given, 3).item_idx.tolist() == [10, 12, 11]


def test_dpp_takes_the_item_that_raises_the_determinant_most() -> None:
    rng = np.random.default_rng(0)
    vectors_KD = rng.normal(size=(9, 4))
    vectors_KD /= np.linalg.norm(vectors_KD, axis=1, keepdims=True)
    scores_K = rng.normal(size=9)
    strength = 0.8
    cosine_KK = 0.99 * vectors_KD @ vectors_KD.T + 0.01 * np.eye(9)
    kernel_KK = np.exp((scores_K[:, None] + scores_K) / (2 * strength)) * cosine_KK
    chosen: list[int] = []
    for _ in range(6):
        left = [k for k in range(9) if k not in chosen]
        chosen.append(max(left, key=lambda k: float(np.linalg.det(kernel_KK[np.ix_([*chosen, k], [*chosen, k])]))))
    given = candidates(scores_K, vectors_KD=vectors_KD)
    assert (select({"use": "dpp", "scores": "raw", "strength": strength}, given, 6).item_idx - 10).tolist() == chosen


def test_dpp_goes_on_beyond_the_dimensions_of_the_vectors() -> None:
    given = candidates(np.linspace(1, 0, 40), vectors_KD=np.tile([[1.0, 0.0], [0.0, 1.0]], (20, 1)))
    assert len(set(select({"use": "dpp"}, given, 40).item_idx.tolist())) == 40


def test_calibrated_moves_the_list_to_the_users_mix() -> None:
    share_KC = np.repeat(np.eye(2), 10, axis=0)  # ten dramas with the better scores, ten comedies
    given = candidates(np.linspace(2, 1, 20), shares={"genre": share_KC}, history_shares={"genre": np.array([0.7, 0.3])})
    settings = {"use": "calibrated", "attribute": "genre", "weight": 0.99}
    assert (select(settings, given, 10).item_idx < 20).sum() == 7
    assert (select(settings | {"weight": 0.0}, given, 10).item_idx < 20).sum() == 10
    stranger = candidates(np.linspace(2, 1, 20), shares={"genre": share_KC})
    assert (select(settings, stranger, 10).item_idx < 20).sum() == 10


def test_calibrated_chooses_by_score_less_divergence() -> None:
    share_KC = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    wanted_C = np.array([0.6, 0.4])
    scores_K = np.array([0.3, 0.0, 0.1])
    mixed_KC = 0.99 * share_KC + 0.01 * wanted_C
    worth_K = 0.5 * scores_K - 0.5 * (wanted_C * np.log(wanted_C / mixed_KC)).sum(1)
    given = candidates(scores_K, shares={"genre": share_KC}, history_shares={"genre": wanted_C})
    chosen = select({"use": "calibrated", "attribute": "genre", "scores": "raw"}, given, 1).item_idx[0]
    assert chosen == 10 + worth_K.argmax() == 11


def test_long_tail_takes_popularity_away() -> None:
    # Of two items the log counts are at -1 and +1 standard deviations, and so are the scores.
    given = candidates([1.0, 0.5], counts_K=np.array([1000, 1]))
    assert select({"use": "long_tail", "strength": 0.9}, given, 2).item_idx.tolist() == [10, 11]
    assert select({"use": "long_tail", "strength": 1.1}, given, 2).item_idx.tolist() == [11, 10]


def test_caps_hold_until_nothing_else_is_left() -> None:
    kind_KC = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0]], np.float64)
    given = candidates([5, 4, 3, 2, 1], shares={"brand": kind_KC})
    settings = {"use": "caps", "most": {"brand": 1}}
    assert select(settings, given, 5).item_idx.tolist() == [10, 13, 14, 11, 12]
    assert select(settings | {"fill": False}, given, 5).item_idx.tolist() == [10, 13, 14]
    assert select({"use": "caps", "most": {"brand": 2}}, given, 3).item_idx.tolist() == [10, 11, 13]


def test_caps_of_an_item_with_several_categories_count_for_each() -> None:
    kind_KC = np.array([[0.5, 0.5], [0, 1], [1, 0]], np.float64)
    given = candidates([3, 2, 1], shares={"genre": kind_KC})
    assert select({"use": "caps", "most": {"genre": 1}, "fill": False}, given, 3).item_idx.tolist() == [10]


def test_a_chain_adjusts_in_turn_and_draws_once() -> None:
    given = candidates([1.0, 0.5, 0.4], counts_K=np.array([1000, 1, 1]), shares={"brand": np.array([[1.0, 0], [0, 1], [0, 1]])})
    chain = build(Policy, {"use": "chain", "of": [{"use": "long_tail", "strength": 2.0}, {"use": "caps", "most": {"brand": 1}}]})
    assert chain.select(given, 3, np.random.default_rng(0)).item_idx.tolist() == [11, 10, 12]
    drawing = build(Policy, {"use": "chain", "of": [{"use": "caps", "most": {"brand": 1}}, {"use": "epsilon", "epsilon": 1.0}]})
    assert slate_probability(drawing, given, [11, 10]) == pytest.approx(1 / 3)
    assert slate_probability(drawing, given, [11, 12]) == 0


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (["plackett_luce", "epsilon"], "only one policy of a chain can draw; plackett_luce, epsilon do"),
        (["chain"], "a chain cannot be inside another"),
        ([{"use": "mmr", "scores": "raw"}], "mmr reads raw scores, the chain standard"),
        ([], "at least 1 item"),
        ([{"use": "mmr", "diversty": 1}], "diversty"),
    ],
)
def test_a_chain_that_makes_no_sense_is_refused(of: list[Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        build(Policy, {"use": "chain", "of": of})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use": "mmr"}, "mmr compares items by their vectors, and there are none: name an encoder"),
        ({"use": "dpp"}, "dpp compares items by their vectors"),
        ({"use": "caps"}, "caps reads the item column 'category', but the candidates have none"),
        ({"use": "calibrated"}, "calibrated reads the item column 'category', but the candidates have none"),
        ({"use": "long_tail"}, "long_tail needs the training interactions"),
    ],
)
def test_a_policy_says_what_it_lacks(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        select(settings, candidates([1.0, 2.0]), 1)


@pytest.mark.parametrize(
    ("given", "n", "says"),
    [
        (candidates([1.0, np.nan]), 1, "the score of item 11 is nan"),
        (candidates([np.inf, 1.0]), 1, "the score of item 10 is inf"),
        (candidates([1.0]), 0, "n is 0"),
        (Candidates(ITEMS, np.ones(4)), 1, "one score a candidate"),
    ],
)
@pytest.mark.parametrize("use", ["greedy", "plackett_luce"])
def test_bad_candidates_are_refused(use: str, given: Candidates, n: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        select({"use": use}, given, n)


def test_standard_scores_make_settings_mean_the_same_for_every_ranker() -> None:
    scores_K = np.array([0.4, 0.1, 0.7, 0.2])
    policy = build(Policy, {"use": "plackett_luce"})

    def first_place(scores_K: Floats) -> Floats:
        return np.asarray(policy.probabilities(candidates(scores_K), np.array([10]), np.random.default_rng(0))[0])

    assert first_place(1000 * scores_K - 5) == pytest.approx(first_place(scores_K))
    assert first_place(np.full(4, 0.3)) == pytest.approx(np.full(4, 0.25))


def test_a_policy_that_cannot_say_how_likely_slates_are_says_so() -> None:
    class Mine(Policy):
        def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
            return Slate(candidates.item_idx_K[:n], np.ones(n))

    with pytest.raises(ValueError, match="Mine does not say how likely other slates are"):
        Mine(Policy.Config(use="mine")).probabilities(candidates([1.0]), np.array([10]), np.random.default_rng(0))
