"""Ranks and metrics: by hand, by property, and against ir_measures."""

# B queries, N items, E targets

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from genre.evaluation.metrics import (
    METRICS,
    NEVER,
    all_metrics,
    average_precision,
    hit_rate,
    impression_metrics,
    mrr,
    ndcg,
    precision,
    recall,
    target_ranks,
)
from genre.types import Histories

ONE = np.array([0, 1])


def ranks(row: list[float], targets: list[int], history: list[int] | None = None) -> list[float]:
    masked = None if history is None else Histories.of([history])
    both = target_ranks(np.array([row]), np.array(targets), np.array([0, len(targets)]), masked)
    return list(both[0 if history is None else 1])


def test_a_tie_counts_against_the_model() -> None:
    assert ranks([0.5, 0.5, 0.9, 0.5], [0]) == [4]
    assert ranks([0.0] * 7, [3]) == [7]


def test_tied_targets_stand_one_after_another_behind_the_rest() -> None:
    assert ranks([1.0, 1.0, 1.0, 0.0], [0, 2]) == [2, 3]
    assert ranks([1.0, 1.0], [0, 1]) == [1, 2]


def test_the_history_is_taken_out_of_the_ranking_once_however_often_it_was_seen() -> None:
    assert ranks([0.9, 0.8, 0.7, 0.6], [3], history=[0, 0, 1]) == [2]


def test_a_target_in_the_masked_history_is_never_a_hit() -> None:
    assert ranks([0.9, 0.8], [0], history=[0]) == [NEVER]
    assert ranks([0.9, 0.9, 0.9], [0, 1], history=[0]) == [NEVER, 2]


def test_nan_is_never_a_hit_and_stands_behind_every_number() -> None:
    assert ranks([np.nan, 0.1], [0]) == [NEVER]
    assert ranks([np.nan, 0.1, np.nan], [1]) == [1]
    assert ranks([np.nan, np.nan], [0]) == [NEVER]
    assert ranks([-np.inf, 1.0], [0]) == [NEVER]
    for name, values in all_metrics(np.array([NEVER]), ONE, (1, 10)).items():
        assert values.tolist() == [0.0], name


def test_scores_are_not_changed_by_masking() -> None:
    scores = np.array([[3.0, 2.0, 1.0]])
    target_ranks(scores, np.array([2]), ONE, Histories.of([[0]]))
    assert scores.tolist() == [[3.0, 2.0, 1.0]]


def test_metrics_by_hand() -> None:
    # Three targets at 1, 3 and 20.
    rank, offsets = np.array([20.0, 1.0, 3.0]), np.array([0, 3])
    assert hit_rate(rank, offsets, 5) == [1]
    assert recall(rank, offsets, 5) == pytest.approx([2 / 3])
    assert precision(rank, offsets, 5) == pytest.approx([2 / 5])
    assert mrr(rank, offsets, 5) == [1]
    assert average_precision(rank, offsets, 5) == pytest.approx([(1 / 1 + 2 / 3) / 3])
    assert ndcg(rank, offsets, 5) == pytest.approx([(1 + 0.5) / (1 + 1 / np.log2(3) + 0.5)])
    # The best list of two places holds two of the three.
    assert ndcg(rank, offsets, 2) == pytest.approx([1 / (1 + 1 / np.log2(3))])


def test_one_target_at_rank_three() -> None:
    rank = np.array([3.0])
    assert ndcg(rank, ONE, 10) == pytest.approx([0.5])
    assert mrr(rank, ONE, 10) == pytest.approx([1 / 3])
    assert hit_rate(rank, ONE, 2) == [0]


def test_no_queries_have_no_values() -> None:
    assert all(len(value) == 0 for value in all_metrics(np.empty(0), np.array([0]), (10,)).values())


def test_a_query_without_a_target_is_refused() -> None:
    with pytest.raises(ValueError, match="query 1 has no target"):
        hit_rate(np.array([1.0, 2.0]), np.array([0, 1, 1, 2]), 10)


@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6, unique=True), min_size=1, max_size=8), st.integers(1, 20))
def test_every_metric_is_between_0_and_1_and_better_ranks_never_lower_it(lists: list[list[int]], k: int) -> None:
    rank = np.array([float(r) for row in lists for r in row])
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])])
    for metric in METRICS.values():
        value = metric(rank, offsets, k)
        assert ((value >= 0) & (value <= 1 + 1e-12)).all()
        assert (metric(rank + 1, offsets, k) <= value + 1e-12).all()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(0, 11), st.lists(st.integers(0, 11), max_size=5))
def test_a_rank_is_the_worst_place_that_any_order_of_the_ties_could_give(scores: list[int], target: int, history: list[int]) -> None:
    target %= len(scores)
    history = [item % len(scores) for item in history if item % len(scores) != target]
    rest = [s for item, s in enumerate(scores) if item != target and item not in history]
    assert ranks([float(s) for s in scores], [target], history) == [1 + sum(s >= scores[target] for s in rest)]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 10]))
def test_agrees_with_ir_measures(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(40.0), (6, 1)), axis=1)
    targets = [rng.choice(40, size=rng.integers(1, 15), replace=False) for _ in range(6)]
    offsets = np.concatenate([[0], np.cumsum([len(t) for t in targets])])
    rank_E, _ = target_ranks(scores, np.concatenate(targets), offsets)
    ours = all_metrics(rank_E, offsets, (k,))
    qrels = {str(b): {str(t): 1 for t in targets[b]} for b in range(6)}
    run = {str(b): {str(n): float(scores[b, n]) for n in range(40)} for b in range(6)}
    theirs = {
        "hit_rate": ir_measures.Success @ k, "ndcg": ir_measures.nDCG @ k, "recall": ir_measures.R @ k,
        "precision": ir_measures.P @ k, "mrr": ir_measures.RR @ k, "map": ir_measures.AP @ k,
    }  # fmt: skip
    assert set(theirs) == set(METRICS)
    for value in ir_measures.iter_calc(list(theirs.values()), qrels, run):
        name = next(name for name, measure in theirs.items() if measure == value.measure)
        assert ours[f"{name}@{k}"][int(value.query_id)] == pytest.approx(value.value, abs=1e-6), name


def test_impressions_by_hand() -> None:
    # Scores .9 .7 .5 .3, clicks on the second and third: of 4 couples of a click and a skip, two are in order.
    found = impression_metrics(np.array([0.9, 0.7, 0.5, 0.3]), np.array([False, True, True, False]), np.array([0, 4]))
    assert found["auc"] == pytest.approx([0.5])
    assert found["mrr"] == pytest.approx([(1 / 2 + 1 / 3) / 2])
    assert found["ndcg@5"] == pytest.approx([(1 / np.log2(3) + 1 / 2) / (1 + 1 / np.log2(3))])


def test_equal_scores_are_worth_half_in_auc_and_the_last_place_in_ranks() -> None:
    found = impression_metrics(np.zeros(4), np.array([True, False, False, False]), np.array([0, 4]))
    assert found["auc"] == [0.5]
    assert found["mrr"] == [0.25]


def test_impressions_that_order_nothing_have_no_value() -> None:
    found = impression_metrics(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, False]), np.array([0, 2, 4]))
    assert all(np.isnan(values).all() for values in found.values())


def test_a_nan_score_in_an_impression_stands_last() -> None:
    found = impression_metrics(np.array([np.nan, 0.0, -1.0]), np.array([True, False, False]), np.array([0, 3]))
    assert found["auc"] == [0.0] and found["mrr"] == pytest.approx([1 / 3])


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_auc_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, clicked = rng.integers(0, 6, 20).astype(float), rng.random(20) < 0.3
    clicked[:2] = [True, False]
    found = impression_metrics(scores, clicked, np.array([0, 20]))
    assert found["auc"][0] == pytest.approx(roc_auc_score(clicked, scores))
