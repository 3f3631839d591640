"""Popularity: counts and their half-life."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genre.fading import DAY
from genre.rankers.popularity import PopularityRanker
from genre.types import Histories, Training


def fitted(histories: Histories, n_items: int, half_life_days: float | None = None) -> PopularityRanker:
    ranker = PopularityRanker(PopularityRanker.Config(half_life_days=half_life_days))
    ranker.fit(Training(histories, n_items), Path())
    return ranker


def test_counts_interactions_whatever_the_query() -> None:
    ranker = fitted(Histories.of([[0, 1], [1], [1, 2]]), 4)
    assert ranker.score(Histories.of([[], [3]])).tolist() == [[1, 3, 1, 0]] * 2


def test_an_interaction_one_half_life_older_counts_half() -> None:
    histories = Histories.of([[0, 1], [0, 2]], [[0.0, 7 * DAY], [7 * DAY, 14 * DAY]])
    assert fitted(histories, 3, 7.0).score(Histories.of([[]])).tolist() == [[0.25 + 0.5, 0.5, 1.0]]


def test_without_a_clock_the_half_life_changes_nothing() -> None:
    assert fitted(Histories.of([[0, 1], [1]]), 2, 7.0).score(Histories.of([[]])).tolist() == [[1, 2]]


def test_an_interaction_without_a_time_is_as_old_as_the_oldest() -> None:
    histories = Histories.of([[0], [1, 2]], [[float("nan")], [0.0, DAY]])
    assert fitted(histories, 3, 1.0).score(Histories.of([[]])).tolist() == [[0.5, 0.5, 1.0]]


def test_a_half_life_must_be_positive() -> None:
    with pytest.raises(ValueError, match="half_life_days"):
        PopularityRanker.Config(half_life_days=0)


def test_nothing_learnt_from_is_all_zeros() -> None:
    assert not np.any(fitted(Histories.of([]), 3, 7.0).score(Histories.of([[0]])))
