"""Team drafts are fair and whole; preferences are tested by unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from genre.experiments.interleaving import preference, team_draft

RANKING = st.lists(st.integers(0, 15), unique=True, max_size=12)


@given(RANKING, RANKING, st.integers(0, 14), st.integers(0, 5))
def test_a_draft_takes_turns_and_skips_what_is_taken(first: list[int], second: list[int], n: int, seed: int) -> None:
    drawn = team_draft(first, second, n, np.random.default_rng(seed))
    assert len(set(drawn.items)) == len(drawn.items) == len(drawn.teams) == min(n, len({*first, *second}))
    left = {0: list(first), 1: list(second)}
    for item, team in zip(drawn.items, drawn.teams, strict=True):
        assert item == left[team][0]
        left = {side: [other for other in ranking if other != item] for side, ranking in left.items()}


def test_teams_of_disjoint_rankings_are_even_and_either_may_begin() -> None:
    rng = np.random.default_rng(0)
    drafts = [team_draft(list("abcdef"), list("uvwxyz"), 6, rng) for _ in range(400)]
    assert all(sum(drawn.teams) == 3 for drawn in drafts)
    assert stats.binomtest(sum(drawn.teams[0] for drawn in drafts), 400).pvalue > 0.01


def test_equal_rankings_give_that_ranking_and_no_preference() -> None:
    drawn = team_draft("abcd", "abcd", 4, np.random.default_rng(0))
    assert drawn.items == tuple("abcd")


def test_a_preference_is_a_one_sample_test_over_units() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.poisson(0.5, 800), rng.poisson(0.8, 800)
    found = preference(first, second, planned=800)
    every = first + second
    lead = np.divide(second - first, every, out=np.zeros(800), where=every > 0)
    theirs = stats.ttest_1samp(lead, 0)
    low, high = theirs.confidence_interval(0.95)
    assert (found.fixed.low, found.fixed.high, found.p) == pytest.approx((low, high, theirs.pvalue), rel=1e-6)
    assert found.anytime.low < low and found.anytime.high > high
    assert found.share == pytest.approx((lead > 0).sum() / (lead != 0).sum())
    assert found.anytime.above_zero and "second ranking is preferred" in found.sentence


def test_a_thousand_equal_rankings_read_every_hundred_units() -> None:
    rng = np.random.default_rng(2)
    called = []
    for _ in range(1000):
        first, second = rng.poisson(0.5, 1000), rng.poisson(0.5, 1000)
        looks = [preference(first[:n], second[:n], planned=1000) for n in range(100, 1001, 100)]
        called.append(any(look.anytime.above_zero or look.anytime.below_zero for look in looks))
    assert np.mean(called) <= 0.05


def test_one_busy_unit_decides_nothing() -> None:
    first, second = np.ones(50), np.ones(50)
    second[0] = 10_000
    found = preference(first, second)
    assert not found.anytime.above_zero
    assert "no preference is shown" in found.sentence


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ([1.0], [1.0, 2.0], "one credit a unit"),
        ([1.0, float("nan")], [1.0, 1.0], "from 0 up"),
        ([-1.0, 1.0], [1.0, 1.0], "from 0 up"),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 0.0], "1 units clicked"),
    ],
)
def test_credits_that_make_no_sense_are_refused(first: list[float], second: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        preference(np.array(first), np.array(second))
