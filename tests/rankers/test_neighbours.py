"""Item-to-item weights: ages, sittings, the strongest, the order of what nothing points to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from genre.fading import DAY
from genre.floor import FLOOR
from genre.rankers.neighbours import blocks, multiply, recency_BN, strongest, touched_UN
from genre.sittings import ages_E
from genre.types import Histories


def test_ages_count_entries_or_sittings() -> None:
    histories = Histories.of([[0, 1, 2], [3, 4]], [[10.0, 10.0, 70.0], [70.0, 70.0]])
    assert ages_E(histories, None).tolist() == [2, 1, 0, 1, 0]
    assert ages_E(histories, 0.0).tolist() == [1, 1, 0, 0, 0]
    assert ages_E(histories, 60.0).tolist() == [0, 0, 0, 0, 0]


def test_without_a_clock_every_entry_is_a_sitting() -> None:
    assert ages_E(Histories.of([[0, 1, 2]]), 60.0).tolist() == [2, 1, 0]


def test_an_item_met_twice_has_the_sum_of_its_weights() -> None:
    queries = Histories.of([[1, 0, 1], []])
    assert recency_BN(queries, 3, 0.5).toarray().tolist() == [[0.5, 1.25, 0], [0, 0, 0]]


def test_weighing_leaves_the_histories_as_they_were() -> None:
    queries = Histories.of([[1, 0, 1]])
    recency_BN(queries, 3, 0.5)
    assert queries.item_idx_E.tolist() == [1, 0, 1]
    assert queries.offsets.tolist() == [0, 3]


def test_touching_twice_is_touching_once() -> None:
    assert touched_UN(Histories.of([[1, 0, 1], [], [2]]), 3).toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_the_product_of_two_faded_touches_is_one_faded_interaction() -> None:
    histories = Histories.of([[1, 0, 1], [2]], [[0.0, DAY, 2 * DAY], [3 * DAY]])
    touched = touched_UN(histories, 3, half_life_days=1.0).toarray()
    assert touched**2 == pytest.approx(np.array([[0.25, 0.5, 0], [0, 0, 1]]))


def test_only_the_strongest_are_kept() -> None:
    weights = sparse.csr_array(np.array([[5, 1, 3], [0, 2, 0], [0, 0, 0]], np.float32))
    assert strongest(weights, 2).toarray().tolist() == [[5, 0, 3], [0, 2, 0], [0, 0, 0]]


def test_scores_are_roots_and_what_nothing_points_to_is_ordered_by_popularity() -> None:
    weights = sparse.csr_array(np.array([[0, 4, 0, 0]] + [[0] * 4] * 3, np.float32))
    scores = multiply(recency_BN(Histories.of([[0], [3]]), 4, 1.0), weights, np.array([4, 1, 2, 0], np.float32))
    assert scores[0] == pytest.approx([0, 2, -FLOOR / 2, -FLOOR])
    assert scores[1] == pytest.approx([0, -FLOOR * 3 / 4, -FLOOR / 2, -FLOOR])


def test_blocks_cover_everything_within_the_budget() -> None:
    assert [(block.start, block.stop) for block in blocks(np.array([3, 3, 9, 0, 1, 5]), 6)] == [(0, 2), (2, 3), (3, 6)]
    assert list(blocks(np.array([], int), 6)) == []
