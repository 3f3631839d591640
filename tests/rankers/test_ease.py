"""EASE: the closed form, and which items take part."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genre.fading import DAY
from genre.rankers.ease import EASERanker, ease_weights
from genre.types import Histories, Training

HISTORIES = Histories.of([[0, 1], [1, 0, 1], [0, 2], [2, 3]])


def fitted(n_items: int = 5, **settings: Any) -> EASERanker:
    ranker = EASERanker(EASERanker.Config(**settings))
    ranker.fit(Training(HISTORIES, n_items), Path())
    return ranker


def test_two_items_by_hand() -> None:
    # Regressing one of two items on the other: the dot product over (its square + l2).
    assert ease_weights(np.array([[3.0, 2.0], [2.0, 5.0]]), 1.0) == pytest.approx(np.array([[0, 2 / 4], [2 / 6, 0]]))


def test_weights_equal_the_closed_form() -> None:
    touched = np.random.default_rng(0).random((40, 9)) < 0.3
    gram = touched.astype(float).T @ touched
    inverse = np.linalg.inv(gram + 7.0 * np.eye(9))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    assert ease_weights(gram, 7.0) == pytest.approx(expected, abs=1e-6)


def test_weights_are_the_ridge_regression_of_each_item_on_the_others() -> None:
    touched = (np.random.default_rng(1).random((30, 5)) < 0.4).astype(float)
    others = touched[:, 1:]
    expected = np.linalg.solve(others.T @ others + 2.0 * np.eye(4), others.T @ touched[:, 0])
    assert ease_weights(touched.T @ touched, 2.0)[1:, 0] == pytest.approx(expected)


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        ease_weights(np.zeros((2, 3)), 1.0)


def test_history_counts_by_recency() -> None:
    ranker = fitted(l2=1.0, decay=0.5)
    old, new, both = ranker.score(Histories.of([[0], [3], [0, 3]]))[:, :4]
    assert both == pytest.approx(0.5 * old + new, abs=1e-6)


def test_interactions_fade_by_their_half_life() -> None:
    histories = Histories.of([[0, 1], [0, 2]], [[0.0, 0.0], [DAY, DAY]])
    ranker = EASERanker(EASERanker.Config(l2=1.0, half_life_days=1.0))
    ranker.fit(Training(histories, 3), Path())
    gram = np.array([[1.5, 0.5, 1], [0.5, 0.5, 0], [1, 0, 1]])
    assert ranker.weight_KK == pytest.approx(ease_weights(gram, 1.0), abs=1e-6)


def test_an_untouched_item_comes_below_all_others() -> None:
    scores = fitted(l2=1.0).score(Histories.of([[0], [1, 2], [], [4]]))
    assert (scores[:, 4:] < scores[:, :4]).all()


def test_an_empty_history_is_ordered_by_popularity() -> None:
    scores = fitted(l2=1.0).score(Histories.of([[]]))[0]
    assert [scores[item] for item in (0, 1)] == [scores.max()] * 2
    assert scores[1] > scores[2] > scores[3] > scores[4]


def test_beyond_max_items_only_the_most_popular_take_part_and_a_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ranker = fitted(max_items=2, l2=1.0)
    assert "2 most popular of 5" in caplog.text
    assert "item_knn" in caplog.text
    assert ranker.weight_KK.shape == (2, 2)
    scores = ranker.score(Histories.of([[0]]))[0]
    assert scores[[2, 3]].max() < scores[:2].min()
