"""The alarm for broken splits: exact against scipy, quiet at 50/50, loud at 51/49."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genre.experiments.srm import check_ratio, log_evidence

HALVES = np.array([0.5, 0.5])


def test_evidence_is_a_mixture_against_the_planned_shares() -> None:
    counts, share = np.array([510, 440, 50]), np.array([0.5, 0.45, 0.05])
    theirs = stats.dirichlet_multinomial.logpmf(counts, 200 * share, 1000) - stats.multinomial.logpmf(counts, 1000, share)
    assert log_evidence(counts, share, concentration=200.0) == pytest.approx(theirs, abs=1e-6)


def arrivals(share: float, rng: np.random.Generator, days: int = 60, a_day: int = 2000) -> np.ndarray:
    first = rng.binomial(a_day, share, days)
    return np.cumsum(np.column_stack([first, a_day - first]), 0)


def test_even_splits_are_left_alone_and_51_to_49_is_found() -> None:
    rng = np.random.default_rng(0)
    even = [check_ratio(arrivals(0.5, rng), HALVES).alarm for _ in range(1000)]
    assert sum(alarm is not None for alarm in even) <= 10
    skewed = [check_ratio(arrivals(0.51, rng), HALVES).alarm for _ in range(300)]
    found = [2000 * (alarm + 1) for alarm in skewed if alarm is not None]
    assert len(found) > 290
    assert np.median(found) < 50_000


def test_uneven_plans_are_held_to_their_own_shares() -> None:
    counts = np.array([[900, 100], [9000, 1000], [90_000, 10_000]])
    assert check_ratio(counts, np.array([0.9, 0.1])).alarm is None
    ringing = check_ratio(counts, HALVES)
    assert ringing.alarm == 0
    assert ringing.p < 1e-6


def test_an_alarm_stays_though_the_counts_even_out() -> None:
    counts = np.array([[600, 400], [50_000, 50_000]])
    assert check_ratio(counts, HALVES).alarm == 0


def test_before_anybody_came_there_is_no_evidence() -> None:
    assert check_ratio(np.array([[0, 0]]), HALVES).p == 1.0


def test_shares_that_do_not_sum_or_match_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        log_evidence(np.array([1, 1]), np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match="3 counts for 2"):
        log_evidence(np.array([1, 1, 1]), HALVES)
