"""Shortlists and the search for weights: NDCG by hand, candidates, what the search finds."""

from __future__ import annotations

import numpy as np
import pytest

from genre.rankers.shortlists import Shortlists, mean_ndcg
from genre.rankers.weighing import cross_validated, search, tries
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
    assert mean_ndcg(scores, targets, np.array([2, 1]), 4) == pytest.approx((first + 1) / 2)
    assert mean_ndcg(scores, targets, np.array([2, 1]), 3) == pytest.approx((1 / np.log2(3) / (1 + 1 / np.log2(3)) + 1) / 2)


def test_ties_are_broken_against_the_target() -> None:
    assert mean_ndcg(np.array([[1.0, 1.0]]), np.array([[True, False]]), np.array([1]), 2) == pytest.approx(1 / np.log2(3))
    assert mean_ndcg(np.zeros((1, 20)), np.eye(1, 20, dtype=bool), np.array([1]), 10) == 0


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        mean_ndcg(np.zeros((2, 3)), np.zeros((2, 4), bool), np.ones(2, int), 10)


def test_the_history_is_no_candidate_unless_it_may_be_repeated() -> None:
    held = truth([[0, 1]], [[2]])
    scores = [np.array([[9, 8, 1, 0, 7]], np.float32)]
    once = Shortlists.of(scores, held, top=2, repeats=False)
    assert sorted(once.score_MQC[0, 0][once.pad_QC[0] == 0].tolist()) == [1, 7]
    again = Shortlists.of(scores, held, top=2, repeats=True)
    assert sorted(again.score_MQC[0, 0][again.pad_QC[0] == 0].tolist()) == [1, 8, 9]


def test_a_target_that_may_not_be_shown_lowers_the_ndcg() -> None:
    lists = Shortlists.of([np.array([[9, 8, 7]], np.float32)], truth([[0]], [[0, 1]]), top=3, repeats=False)
    assert lists.ndcg(lists.summed(np.ones(1)), 10) == pytest.approx(1 / (1 + 1 / np.log2(3)))


@pytest.mark.parametrize("repeats", [False, True])
def test_the_ndcg_of_joined_shortlists_is_that_of_the_whole_catalogue(repeats: bool) -> None:
    rng = np.random.default_rng(0)
    held = random_truth(rng, 25, 60)
    scores = [rng.normal(size=(25, 60)).astype(np.float32) for _ in range(2)]
    parts = [slice(0, 10), slice(10, 25)]
    lists = Shortlists.joined([Shortlists.of([score[part] for score in scores], held.take(part), 20, repeats) for part in parts])
    weights = np.array([0.9, 0.1])
    expected = ndcg_B(0.9 * scores[0] + 0.1 * scores[1], held, repeats).mean()
    assert lists.ndcg(lists.summed(weights), 10) == pytest.approx(expected)


def test_the_search_finds_the_ranker_that_knows() -> None:
    rng = np.random.default_rng(0)
    held = random_truth(rng, 200, 50)
    noise = [rng.normal(size=(200, 50)).astype(np.float32) for _ in range(3)]
    knows = noise[0].copy()
    knows[held.owner_E(), held.target_E] += 2
    lists = Shortlists.of([noise[1], knows, noise[2]], held, 50, False)
    weights = search(lists, 10)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 0.8
    assert lists.ndcg(lists.summed(weights), 10) > lists.ndcg(lists.summed(np.ones(3)), 10)
    assert cross_validated(lists, 10, rng) == pytest.approx(lists.ndcg(lists.summed(np.array([0, 1, 0])), 10), abs=0.05)


def test_two_rankers_that_each_know_half_are_both_kept() -> None:
    rng = np.random.default_rng(1)
    held = random_truth(rng, 200, 50)
    scores = [rng.normal(size=(200, 50)).astype(np.float32) for _ in range(2)]
    for score in scores:
        score[held.owner_E(), held.target_E] += 1
    lists = Shortlists.of(scores, held, 50, False)
    assert search(lists, 10).min() > 0.25


def test_a_weight_of_zero_can_come_back_and_the_last_one_cannot_go() -> None:
    assert min(tries(np.array([0.0, 1.0]), 0)) == 0
    assert max(tries(np.array([0.0, 1.0]), 0)) == pytest.approx(0.2)
    assert min(tries(np.array([0.0, 1.0]), 1)) == 0.25
