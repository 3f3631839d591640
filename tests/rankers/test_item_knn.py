"""Item neighbours: cosine by hand, BM25 by its formula, the cut to the strongest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from genre.rankers import item_knn
from genre.rankers.item_knn import ItemKNNRanker, bm25
from genre.rankers.neighbours import recency_BN
from genre.types import Histories, Training

# Item 0: users 0, 1, 2. Item 1: users 0, 1. Item 2: user 2. Item 3: nobody.
THREE_USERS = Histories.of([[0, 1], [1, 0], [0, 2]])


def fitted(histories: Histories, n_items: int, **settings: Any) -> ItemKNNRanker:
    ranker = ItemKNNRanker(ItemKNNRanker.Config(**settings))
    ranker.fit(Training(histories, n_items), Path())
    return ranker


def test_similarity_is_the_cosine_of_the_users() -> None:
    scores = fitted(THREE_USERS, 4, shrinkage=0).score(Histories.of([[0]]))
    assert scores[0, 1:3] ** 2 == pytest.approx([2 / np.sqrt(6), 1 / np.sqrt(3)])


def test_shrinkage_is_added_below() -> None:
    scores = fitted(THREE_USERS, 4, shrinkage=1).score(Histories.of([[0]]))
    assert scores[0, 1:3] ** 2 == pytest.approx([2 / (np.sqrt(6) + 1), 1 / (np.sqrt(3) + 1)])


def test_similarities_of_a_history_add_up_the_newer_counting_more() -> None:
    scores = fitted(THREE_USERS, 4, shrinkage=0, decay=0.5).score(Histories.of([[1, 2]]))
    assert scores[0, 0] ** 2 == pytest.approx(0.5 * 2 / np.sqrt(6) + 1 / np.sqrt(3))


def test_an_untouched_item_comes_last() -> None:
    scores = fitted(THREE_USERS, 4).score(Histories.of([[0], [], [3]]))
    assert (scores[:, 3] == scores.min(axis=1)).all()
    assert (scores[:, :3] > scores[:, 3:]).all()


def test_only_the_nearest_neighbours_are_kept() -> None:
    scores = fitted(THREE_USERS, 4, neighbours=1).score(Histories.of([[0]]))
    assert np.count_nonzero(scores[0] > 0) == 1


def test_blocks_of_items_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    histories = Histories.of([rng.choice(30, rng.integers(1, 9), replace=False) for _ in range(50)])
    whole = fitted(histories, 30, shrinkage=0).weights_NN.toarray()
    monkeypatch.setattr(item_knn, "PRODUCTS_AT_ONCE", 40)
    assert np.array_equal(fitted(histories, 30, shrinkage=0).weights_NN.toarray(), whole)
    touched_NU = recency_BN(histories, 30, 1.0).toarray().T > 0
    expected = cosine_similarity(touched_NU.astype(float))
    np.fill_diagonal(expected, 0)
    assert whole == pytest.approx(expected, abs=1e-6)


def test_only_the_newest_entries_of_a_user_are_learnt_from() -> None:
    scores = fitted(Histories.of([[0, 1, 2]]), 3, max_history=2, shrinkage=0).score(Histories.of([[2]]))
    assert scores[0, 1] == pytest.approx(1)
    assert scores[0, 0] <= 0


def test_bm25_weights_by_hand() -> None:
    # Two users of one item each, one in common: ln(1 + 2 / 2) = ln 2, and the mean length saturates to 1.
    weights = bm25(recency_BN(Histories.of([[0], [0]]), 2, 1.0)).toarray()
    assert weights == pytest.approx(np.array([[np.log(2), 0], [np.log(2), 0]]))


def test_bm25_trusts_users_with_short_histories_more() -> None:
    weights = bm25(recency_BN(Histories.of([[0], [0, 1, 2]]), 3, 1.0)).toarray()
    assert weights[0, 0] > weights[1, 0]
    assert weights[1, 1] > weights[1, 0], "a rarer item weighs more"
