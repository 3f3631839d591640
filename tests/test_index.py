"""Exact top-k: order, ties, exclusions, scores that are no numbers."""

# B queries, N items, K places

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genre.index import PAD, top_k
from genre.types import Histories


def test_the_best_come_first_and_ties_by_index() -> None:
    scores = np.array([[0.1, 0.9, 0.5, 0.9, 0.5]])
    items, values = top_k(scores, 4)
    assert items.tolist() == [[1, 3, 2, 4]]
    assert values.tolist() == [pytest.approx([0.9, 0.9, 0.5, 0.5])]


def test_a_history_is_left_out_and_the_rest_padded() -> None:
    items, values = top_k(np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]), 2, Histories.of([[0, 1], []]))
    assert items.tolist() == [[2, PAD], [2, 1]]
    assert values[0].tolist() == [1.0, -np.inf]


def test_all_excluded_gives_an_empty_list() -> None:
    items, values = top_k(np.ones((1, 3)), 2, np.ones((1, 3), bool))
    assert items.tolist() == [[PAD, PAD]] and np.isneginf(values).all()


def test_nan_and_minus_infinity_are_in_no_list_but_infinity_leads() -> None:
    items, _ = top_k(np.array([[np.nan, 1.0, -np.inf, np.inf]], np.float32), 4)
    assert items.tolist() == [[3, 1, PAD, PAD]]


def test_the_scores_given_are_not_changed() -> None:
    scores = np.array([[np.nan, 1.0, 2.0]], np.float32)
    top_k(scores, 2, Histories.of([[2]]))
    assert np.isnan(scores[0, 0]) and scores[0, 2] == 2.0


def test_no_queries_give_no_lists() -> None:
    assert top_k(np.empty((0, 4)), 3)[0].shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 4), (2, 3)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="excluded is for"):
        top_k(np.ones((2, 4)), 1, np.zeros(shape, bool))


def test_a_list_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="k=0"):
        top_k(np.ones((1, 4)), 0)


@settings(deadline=None)
@given(
    scores=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0.0, 1.0, 2.0, np.nan])),
    k=st.integers(1, 14),
    seed=st.integers(0, 99),
)
def test_agrees_with_a_full_stable_sort(scores: np.ndarray, k: int, seed: int) -> None:
    excluded = np.random.default_rng(seed).random(scores.shape) < 0.3
    items, _ = top_k(scores, k, excluded)
    for b, row in enumerate(scores):
        allowed = [n for n in range(len(row)) if not excluded[b, n] and not np.isnan(row[n])]
        expected = sorted(allowed, key=lambda n: (-row[n], n))[:k]
        assert items[b].tolist() == expected + [PAD] * (k - len(expected))


@pytest.mark.parametrize("levels", [2, 40, 100_000])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_agrees_with_a_full_stable_sort_where_a_coarse_look_comes_first(levels: int, k: int) -> None:
    # Above DEPTH * k items; few levels make most scores tie at the border, also with the history's.
    rng = np.random.default_rng(levels + k)
    scores = rng.integers(0, levels, (3, 5003)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    seen = [rng.choice(5003, 900) for _ in range(3)]
    items, _ = top_k(scores, k, Histories.of(seen))
    for b, row in enumerate(scores):
        allowed = np.setdiff1d(np.flatnonzero(~np.isnan(row)), seen[b])
        assert items[b].tolist() == allowed[np.argsort(-row[allowed], kind="stable")][:k].tolist()
