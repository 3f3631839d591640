"""Transitions: decayed pair counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genre.fading import DAY
from genre.rankers import transitions
from genre.rankers.transitions import TransitionsRanker
from genre.types import Histories, Training

PLAIN = {
    "window": 5,
    "pair_decay": 0.5,
    "reverse": 0.0,
    "popularity_power": 0.0,
    "source_power": 0.0,
    "user_power": 0.0,
    "shrinkage": 0.0,
    "decay": 0.5,
}


def weights(histories: Histories, n_items: int, **settings: Any) -> np.ndarray[Any, Any]:
    ranker = TransitionsRanker(TransitionsRanker.Config(**{**PLAIN, **settings}))
    ranker.fit(Training(histories, n_items), Path())
    found: np.ndarray[Any, Any] = ranker.weights_NN.toarray()
    return found


def scores(histories: Histories, n_items: int, query: list[int], **settings: Any) -> list[float]:
    ranker = TransitionsRanker(TransitionsRanker.Config(**{**PLAIN, **settings}))
    ranker.fit(Training(histories, n_items), Path())
    return [float(score) for score in ranker.score(Histories.of([query]))[0]]


def test_pairs_count_less_the_further_they_are_apart() -> None:
    assert weights(Histories.of([[0, 1, 2]]), 3).tolist() == [[0, 0.5, 0.25], [0, 0, 0.5], [0, 0, 0]]


def test_pairs_beyond_the_window_and_of_two_users_do_not_count() -> None:
    assert weights(Histories.of([[0, 1, 2], [0]]), 3, window=1).tolist() == [[0, 0.5, 0], [0, 0, 0.5], [0, 0, 0]]


def test_reverse_pairs_count_their_share() -> None:
    assert weights(Histories.of([[0, 1]]), 2, reverse=0.3) == pytest.approx(np.array([[0, 0.5], [0.15, 0]]))


def test_pairs_are_divided_by_powers_of_the_counts() -> None:
    histories = Histories.of([[0, 1], [2, 1], [1], [1]])  # item 1: 4 times, items 0 and 2: once
    assert weights(histories, 3, popularity_power=0.5)[0, 1] == pytest.approx(0.5 / 2)
    assert weights(histories, 3, popularity_power=1.0, shrinkage=1.0)[0, 1] == pytest.approx(0.5 / 5)
    assert weights(histories, 3, reverse=1.0, source_power=1.0)[1] == pytest.approx([0.5 / 4, 0, 0.5 / 4])


def test_users_with_long_histories_say_less_by_the_user_power() -> None:
    found = weights(Histories.of([[0, 1], [2, 1, 2, 2]]), 3, window=1, user_power=0.5)
    assert found[0, 1] == pytest.approx(0.5 / np.sqrt(2))
    assert found[2, 1] == pytest.approx(0.5 / 2)


def test_a_pair_one_half_life_older_counts_half() -> None:
    histories = Histories.of([[0, 1], [0, 2]], [[0.0, 7 * DAY], [7 * DAY, 14 * DAY]])
    assert weights(histories, 3, half_life_days=7.0)[0].tolist() == [0, 0.25, 0.5]


def test_a_sitting_has_no_order_and_its_neighbours_are_one_step_away() -> None:
    histories = Histories.of([[0, 1, 2]], [[10.0, 10.0, 99.0]])
    found = weights(histories, 3, sitting_seconds=0.0, reverse=0.5)
    assert found == pytest.approx(np.array([[0, 0.75, 0.5], [0.75, 0, 0.5], [0.25, 0.25, 0]]))


def test_an_item_bought_again_leads_to_itself() -> None:
    assert weights(Histories.of([[0, 0]]), 1).tolist() == [[0.5]]


def test_the_history_adds_up_the_newer_counting_more() -> None:
    assert scores(Histories.of([[0, 2], [1, 2]]), 3, [0, 1])[2] ** 2 == pytest.approx(0.5 * 0.5 + 0.5)


def test_what_nothing_leads_to_follows_by_popularity_and_the_untouched_come_last() -> None:
    found = scores(Histories.of([[0, 1], [2], [2]]), 4, [0])
    assert sorted(range(4), key=lambda item: -found[item]) == [1, 2, 0, 3]


def test_blocks_of_items_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    histories = Histories.of([rng.integers(20, size=rng.integers(1, 12)) for _ in range(40)])
    whole = weights(histories, 20, reverse=0.3)
    monkeypatch.setattr(transitions, "PAIRS_AT_ONCE", 100)
    assert weights(histories, 20, reverse=0.3) == pytest.approx(whole)


def test_pair_counts_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    walks = [rng.integers(8, size=rng.integers(1, 12)) for _ in range(20)]
    expected = np.zeros((8, 8))
    for walk in walks:
        for i in range(len(walk)):
            for j in range(i + 1, min(i + 4, len(walk))):
                expected[walk[i], walk[j]] += 0.5 ** (j - i)
                expected[walk[j], walk[i]] += 0.3 * 0.5 ** (j - i)
    assert weights(Histories.of(walks), 8, window=3, reverse=0.3) == pytest.approx(expected)
