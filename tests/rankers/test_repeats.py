"""Repeats: the history's own items, by recency and frequency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genre.component import build
from genre.fading import DAY
from genre.rankers import Ranker
from genre.rankers.repeats import RepeatsRanker
from genre.testing import check_ranker
from genre.types import Histories, Training


def fitted(histories: Histories, n_items: int, **settings: Any) -> RepeatsRanker:
    ranker = RepeatsRanker(RepeatsRanker.Config(**{"decay": 0.5, "popularity_power": 0.0, **settings}))
    ranker.fit(Training(histories, n_items), Path())
    return ranker


def test_conforms() -> None:
    check_ranker(build(Ranker, {"use": "genre.rankers.repeats:RepeatsRanker"}))


def test_recent_and_frequent_occurrences_count_more() -> None:
    scores = fitted(Histories.of([]), 3).score(Histories.of([[0, 1, 0, 2]]))
    assert scores[0].tolist() == [0.125 + 0.5, 0.25, 1]


def test_a_basket_is_one_step() -> None:
    scores = fitted(Histories.of([]), 3).score(Histories.of([[0, 1, 2]], [[0.0, 5.0, 5.0]]))
    assert scores[0].tolist() == [0.5, 1, 1]


def test_what_is_popular_is_bought_again_sooner() -> None:
    scores = fitted(Histories.of([[0], [0], [0]]), 2, popularity_power=0.5).score(Histories.of([[0, 1]]))
    assert scores[0] == pytest.approx([0.5 * 2, 1])


def test_everything_else_follows_by_its_recent_popularity() -> None:
    histories = Histories.of([[1, 1, 1, 2, 2]], [[0.0, 0.0, 0.0, 4 * DAY, 4 * DAY]])
    scores = fitted(histories, 4, half_life_days=1.0).score(Histories.of([[0], []]))
    assert np.argsort(-scores, axis=1)[:, :4].tolist() == [[0, 2, 1, 3], [2, 1, 0, 3]]
