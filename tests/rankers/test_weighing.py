"""Shortlists and weights: NDCG by hand, candidates, what is likeliest."""

from __future__ import annotations

import numpy as np
import pytest

from genre.rankers.shortlists import Shortlists, ndcg_Q
from genre.rankers.weighing import best_placed, cross_validated, likeliest, preferred
from genre.types import GroundTruth, Histories
from genre.validation import ndcg_B


def truth(histories: list[list[int]], targets: list[list[int]]) -> GroundTruth:
    offsets = np.cumsum([0, *map(len, targets)])
    return GroundTruth(Histories.of(histories), np.array([item for row in targets for item in row]), offsets, np.arange(len(targets)))


def random_truth(rng: np.random.Generator, queries: int, n_items: int) -> GroundTruth:
    rows = [rng.permutation(n_items) for _ in range(queries)]
    return truth([row[:3].tolist() for row in rows], [row[3 : 3 + 1 + b % 3].tolist() for b, row in enumerate(rows)])


def test_ndcg_by_hand() -> None:
    scores = np.array([[9.0, 8, 7, 6], [9, 8, 7, 6]])
    targets = np.array([[False, True, False, True], [True, False, False, False]])
    # First query: places 2 and 4 of at best 1 and 2. Second: place 1.
    first = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert ndcg_Q(scores, targets, np.array([2, 1]), 4) == pytest.approx([first, 1])
    assert ndcg_Q(scores, targets, np.array([2, 1]), 3) == pytest.approx([1 / np.log2(3) / (1 + 1 / np.log2(3)), 1])


def test_ties_are_broken_against_the_target() -> None:
    assert ndcg_Q(np.array([[1.0, 1.0]]), np.array([[True, False]]), np.array([1]), 2) == pytest.approx(1 / np.log2(3))
    assert ndcg_Q(np.zeros((1, 20)), np.eye(1, 20, dtype=bool), np.array([1]), 10) == 0


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        ndcg_Q(np.zeros((2, 3)), np.zeros((2, 4), bool), np.ones(2, int), 10)


def test_the_history_is_no_candidate_unless_it_may_be_repeated() -> None:
    held = truth([[0, 1]], [[2]])
    scores = [np.array([[9, 8, 1, 0, 7]], np.float32)]
    once = Shortlists.of(scores, held, 2, False, 0, np.random.default_rng(0))
    assert sorted(once.score_MQC[0, 0][once.log_copies_QC[0] == 0].tolist()) == [1, 7]
    again = Shortlists.of(scores, held, 2, True, 0, np.random.default_rng(0))
    assert sorted(again.score_MQC[0, 0][again.log_copies_QC[0] == 0].tolist()) == [1, 8, 9]


def test_a_target_that_may_not_be_shown_lowers_the_ndcg() -> None:
    lists = Shortlists.of([np.array([[9, 8, 7]], np.float32)], truth([[0]], [[0, 1]]), 3, False, 0, np.random.default_rng(0))
    assert lists.ndcg_Q(lists.summed(np.ones(1)), 10) == pytest.approx(1 / (1 + 1 / np.log2(3)))


@pytest.mark.parametrize("repeats", [False, True])
def test_the_ndcg_of_joined_shortlists_is_that_of_the_whole_catalogue(repeats: bool) -> None:
    rng = np.random.default_rng(0)
    held = random_truth(rng, 25, 60)
    scores = [rng.normal(size=(25, 60)).astype(np.float32) for _ in range(2)]
    parts = [slice(0, 10), slice(10, 25)]
    lists = Shortlists.joined([Shortlists.of([score[part] for score in scores], held.take(part), 20, repeats, 5, rng) for part in parts])
    weights = np.array([0.9, 0.1])
    expected = ndcg_B(0.9 * scores[0] + 0.1 * scores[1], held, repeats)
    assert lists.ndcg_Q(lists.summed(weights), 10) == pytest.approx(expected)


def test_the_others_stand_for_the_rest_of_the_catalogue() -> None:
    held = truth([[0, 1]], [[2]])
    lists = Shortlists.of([np.arange(100.0, dtype=np.float32)[None]], held, 10, False, 20, np.random.default_rng(0))
    copies = np.exp(lists.log_copies_QC[0])
    assert len(copies) == 31  # the best ten, the target and twenty others
    assert copies.sum() == pytest.approx(98)  # all but the history
    assert sorted(set(copies.round(3).tolist())) == [1, pytest.approx((98 - 11) / 20, abs=1e-3)]


def test_the_weights_are_those_of_a_conditional_logit() -> None:
    """One query in three, of two items a unit apart, goes to the lower one: the odds are 2, so the weight is log 2."""
    scores = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    lists = Shortlists.of([scores], truth([[], [], []], [[0], [0], [1]]), 2, False, 0, np.random.default_rng(0))
    assert likeliest(lists, 0.0) == pytest.approx([np.log(2)], abs=1e-4)
    assert likeliest(lists, 0.1)[0] < np.log(2)


def test_others_take_the_place_of_the_whole_catalogue() -> None:
    rng = np.random.default_rng(0)
    held = random_truth(rng, 400, 300)
    scores = [rng.normal(size=(400, 300)).astype(np.float32) for _ in range(2)]
    scores[0][held.owner_E(), held.target_E] += 1
    whole = likeliest(Shortlists.of(scores, held, 300, False, 0, rng), 1e-3)
    assert likeliest(Shortlists.of(scores, held, 20, False, 60, rng), 1e-3) == pytest.approx(whole, abs=0.08)
    assert likeliest(Shortlists.of(scores, held, 20, False, 0, rng), 1e-3)[0] < whole[0] - 0.2  # what they are there for


def test_the_ranker_that_knows_gets_the_weight_and_chance_gets_none() -> None:
    rng = np.random.default_rng(0)
    held = random_truth(rng, 200, 50)
    noise = [rng.normal(size=(200, 50)).astype(np.float32) for _ in range(3)]
    knows = noise[0].copy()
    knows[held.owner_E(), held.target_E] += 2
    lists = Shortlists.of([noise[1], knows, noise[2]], held, 50, False, 0, rng)
    weights = likeliest(lists, 1e-3)
    assert weights[1] > 1.5 and weights[[0, 2]].max() < 0.2
    order = rng.permutation(len(lists))
    alone = lists.ndcg_Q(lists.summed(np.array([0, 1, 0])), 10).mean()
    assert cross_validated(lists, "likelihood", 1e-3, 10, order).mean() == pytest.approx(alone, abs=0.03)


def test_two_rankers_that_each_know_half_are_both_kept() -> None:
    rng = np.random.default_rng(1)
    held = random_truth(rng, 200, 50)
    scores = [rng.normal(size=(200, 50)).astype(np.float32) for _ in range(2)]
    for score in scores:
        score[held.owner_E(), held.target_E] += 1
    weights = likeliest(Shortlists.of(scores, held, 50, False, 0, rng), 1e-3)
    assert weights.min() / weights.sum() > 0.25


def test_no_target_that_may_be_shown_leaves_all_weights_equal() -> None:
    lists = Shortlists.of([np.zeros((1, 4), np.float32)] * 2, truth([[0]], [[0]]), 4, False, 0, np.random.default_rng(0))
    assert likeliest(lists, 1e-3).tolist() == [1, 1]


def test_best_placed_sees_the_first_places_where_the_likeliest_sees_all_of_them() -> None:
    """The one ranker puts two of eight targets at the very top and the others last; the second lifts all of them a little."""
    rng = np.random.default_rng(0)
    target = np.stack([rng.permutation(100)[:8] for _ in range(150)])
    first, second = (rng.normal(size=(150, 100)).astype(np.float32) for _ in range(2))
    for score, lift in ((first, -6), (second, 1)):
        np.put_along_axis(score, target, np.take_along_axis(score, target, 1) + np.float32(lift), axis=1)
    np.put_along_axis(first, target[:, :2], np.float32(3), axis=1)
    lists = Shortlists.of([first, second], truth([[] for _ in target], target.tolist()), 100, False, 0, rng)
    weigh = {"likelihood": likeliest, "ndcg": best_placed}
    reached = {aim: lists.ndcg_Q(lists.summed(weights(lists, 1e-3)), 10).mean() for aim, weights in weigh.items()}
    assert reached["ndcg"] > reached["likelihood"] + 0.03
    order = rng.permutation(len(lists))
    folds = np.stack([cross_validated(lists, aim, 1e-3, 10, order) for aim in ("likelihood", "ndcg")])
    assert folds[1].mean() > folds[0].mean() + 0.03 and preferred(folds) == 1


def test_best_placed_weights_are_scaled_to_be_likeliest() -> None:
    rng = np.random.default_rng(2)
    held = random_truth(rng, 300, 40)
    scores = [rng.normal(size=(300, 40)).astype(np.float32) for _ in range(2)]
    for score in scores:
        score[held.owner_E(), held.target_E] += 1
    lists = Shortlists.of(scores, held, 40, False, 0, rng)
    assert best_placed(lists, 1e-3) == pytest.approx(likeliest(lists, 1e-3), rel=0.3)


def test_each_query_is_judged_by_weights_that_have_not_seen_its_fold() -> None:
    """Seven queries believe the second ranker and six the first, but whichever fold of them is held out, the others are the more."""
    second, first, both = np.array([0, 3, 6, 9, 1, 4, 7]), np.array([10, 13, 2, 5, 8, 11]), np.array([12, 14, 15])
    scores = np.zeros((2, 16, 2), np.float32)
    scores[0, :, 0], scores[1, :, 0] = np.where(np.isin(np.arange(16), second), -1, 1), np.where(np.isin(np.arange(16), first), -1, 1)
    lists = Shortlists.of(list(scores), truth([[]] * 16, [[0]] * 16), 2, False, 0, np.random.default_rng(0))
    reached = cross_validated(lists, "likelihood", 1e-3, 10, np.concatenate([second, first, both]))
    assert reached == pytest.approx(np.where(np.isin(np.arange(16), both), 1, 1 / np.log2(3)))
    assert lists.ndcg_Q(lists.summed(likeliest(lists, 1e-3)), 10)[second] == pytest.approx(1), "weights that have seen them all know better"


@pytest.mark.parametrize(
    ("ahead", "taken"),
    [
        ([[0.3, 0.1, 0.1, -0.1]], 1),  # 0.1 on average, of which a standard error is 0.163 / 2
        ([[0.3, 0.1, -0.1, -0.1]], 0),  # 0.05, and 0.191 / 2
        ([[0.0, 0.0, 0.0, 0.0]], 0),
        ([[0.3, 0.1, 0.1, -0.1], [0.2, 0.2, 0.2, 0.2]], 2),
        ([[0.9, 0.5, -0.1, -0.5], [0.1, 0.1, 0.1, 0.1]], 2),  # 0.2 on average, and 0.622 / 2: the lesser gain is the surer
        ([[-0.1, -0.1, -0.1, -0.1]], 0),
    ],
)
def test_a_way_is_left_for_another_that_is_better_by_more_than_a_standard_error(ahead: list[list[float]], taken: int) -> None:
    first = np.array([0.5, 0.0, 1.0, 0.5])
    assert preferred(first + np.array([[0.0] * 4, *ahead])) == taken
