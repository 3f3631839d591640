"""Fading: halves with every half-life."""

from __future__ import annotations

import numpy as np
import pytest

from genre.fading import DAY, faded_counts_N, faded_E
from genre.types import Histories


def test_halves_with_every_half_life_before_the_newest() -> None:
    assert faded_E(np.array([0.0, 7 * DAY, 14 * DAY]), 7.0).tolist() == [0.25, 0.5, 1]


def test_nothing_fades_without_a_half_life_or_a_clock() -> None:
    assert faded_E(np.array([0.0, DAY]), None).tolist() == [1, 1]
    assert faded_E(np.array([np.nan, np.nan]), 1.0).tolist() == [1, 1]
    assert faded_E(np.empty(0), 1.0).tolist() == []


def test_an_interaction_without_a_time_is_as_old_as_the_oldest() -> None:
    assert faded_E(np.array([np.nan, 0.0, DAY]), 1.0) == pytest.approx([0.5, 0.5, 1])


def test_counts_are_sums_of_what_is_left() -> None:
    histories = Histories.of([[0, 1], [1]], [[0.0, DAY], [DAY]])
    assert faded_counts_N(histories, 3, 1.0).tolist() == [0.5, 2, 0]
