"""Content: cosine to the recency-weighted mean of the history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genre.rankers.content import ContentRanker
from genre.types import Histories, Training

VECTORS = np.array([[2, 0], [0, 3], [1, 1], [-1, 0], [0, 0]], np.float32)


def fitted(decay: float) -> ContentRanker:
    ranker = ContentRanker(ContentRanker.Config(content=("text",), decay=decay))
    ranker.fit(Training(Histories.of([]), len(VECTORS), VECTORS), Path())
    return ranker


def test_scores_are_cosines() -> None:
    scores = fitted(0.5).score(Histories.of([[0]]))
    assert scores == pytest.approx(np.array([[1, 0, np.sqrt(0.5), -1, 0]]), abs=1e-6)


def test_the_newer_item_counts_more() -> None:
    # The profile is 0.5 (1, 0) + (0, 1): its cosines are 1 and 2 over the square root of 5.
    scores = fitted(0.5).score(Histories.of([[0, 1]]))
    assert scores[0, :2] == pytest.approx(np.array([1, 2]) / np.sqrt(5))


def test_an_empty_or_silent_history_scores_zero() -> None:
    assert not np.any(fitted(0.5).score(Histories.of([[], [4]])))


def test_a_new_item_is_found_by_its_content() -> None:
    ranker = fitted(0.5)
    ranker.extend(np.array([[10, 0]], np.float32), 1)
    assert ranker.score(Histories.of([[0]]))[0, 5] == pytest.approx(1)
    assert ranker.score(Histories.of([[5]]))[0, 0] == pytest.approx(1)


def test_new_items_without_vectors_of_that_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\), got none"):
        fitted(0.5).extend(None, 2)
    with pytest.raises(ValueError, match=r"shape \(1, 2\), got shape \(1, 3\)"):
        fitted(0.5).extend(np.zeros((1, 3), np.float32), 1)


def test_training_without_content_names_the_encoders_asked_for() -> None:
    with pytest.raises(ValueError, match="text"):
        ContentRanker(ContentRanker.Config(content=("text",))).fit(Training(Histories.of([]), 3), Path())


def test_an_encoder_must_be_named() -> None:
    with pytest.raises(ValueError, match="content"):
        ContentRanker.Config(content=())
