"""Counters: exact at every past moment, and blind to the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.fading import DAY
from genre.rankers.counters import Counters, running
from genre.serving.scorers.tallies import Tallies

ITEM = np.array([7, 7, 3, 7])
TIME = np.array([0.0, 2.0, 5.0, 4.0]) * DAY


def at(counters: Counters, item: int, day: float) -> list[float]:
    found: list[float] = np.expm1(counters.at(np.array([item]), np.array([day * DAY]))[0]).tolist()
    return found


def test_an_event_counts_half_after_its_half_life() -> None:
    counters = Counters(ITEM, TIME, (2.0,))
    assert counters.names == ["count", "count, half-life 2 d", "days since the first", "days since the last"]
    assert at(counters, 7, 6.0) == pytest.approx([3, 0.5 + 0.25 + 0.125, 6, 2], rel=1e-5)


def test_what_happens_at_the_moment_itself_is_not_seen() -> None:
    counters = Counters(ITEM, TIME, (2.0,))
    assert at(counters, 7, 2.0) == pytest.approx([1, 0.5, 2, 2], rel=1e-5)
    assert at(counters, 7, 0.0) == [0, 0, 0, 0]
    assert at(counters, 99, 6.0) == [0, 0, 0, 0], "an item added later is one that nothing happened to"


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=40),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50)), min_size=1, max_size=10),
)
def test_the_future_changes_nothing(events: list[tuple[int, int]], questions: list[tuple[int, int]]) -> None:
    """No answer changes when all that happens at its moment or later is taken away: the leak test."""
    item_E, time_E = np.array([i for i, _ in events], np.int64), np.array([t for _, t in events], float) * DAY
    whole = Counters(item_E, time_E, (1.0, 7.0))
    for item, moment in questions:
        past = time_E < moment * DAY
        known = Counters(item_E[past], time_E[past], (1.0, 7.0))
        one = np.array([item]), np.array([moment * DAY])
        assert whole.at(*one) == pytest.approx(known.at(*one), rel=1e-5, abs=1e-6)
        assert np.expm1(whole.at(*one)[0, 0]) == pytest.approx((item_E[past] == item).sum(), rel=1e-5)


def test_events_without_a_clock_come_before_every_moment() -> None:
    counters = Counters(np.array([1, 1, 1]), np.array([np.nan, np.nan, 3 * DAY]), (1.0,))
    assert at(counters, 1, 2.0) == pytest.approx([2, 0, 0, 0])
    assert at(counters, 1, 4.0) == pytest.approx([3, 0.5, 0, 1])
    assert np.expm1(counters.at(np.array([1]), np.array([np.nan])))[0, 0] == pytest.approx(3), "no moment: what is known today"


def test_added_events_are_as_if_counted_from_the_start() -> None:
    joined = Counters(ITEM[:2], TIME[:2], (2.0,)).joined(ITEM[2:], TIME[2:])
    assert at(joined, 7, 6.0) == pytest.approx(at(Counters(ITEM, TIME, (2.0,)), 7, 6.0))
    restored = Counters.restored(joined.arrays("x"), "x", (2.0,))
    assert at(restored, 3, 6.0) == at(joined, 3, 6.0)


def test_running_counts_are_the_sums_they_stand_for() -> None:
    rng = np.random.default_rng(0)
    item_E = np.sort(rng.integers(0, 5, 200))
    time_E = np.concatenate([np.sort(rng.random((item_E == i).sum())) * 100 for i in range(5)])
    slow = [
        sum(0.5 ** ((time_E[e] - time_E[j]) / 7.0) for j in range(e + 1) if item_E[j] == item_E[e])
        for e in range(len(item_E))
    ]  # fmt: skip
    assert running(item_E, time_E, 7.0) == pytest.approx(np.array(slow))


EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=30)


@given(EVENTS, EVENTS)
def test_tallies_say_of_now_what_counters_say(before: list[tuple[int, int]], since: list[tuple[int, int]]) -> None:
    """Events counted one by one while serving, in any order, on top of what was known when the bundle was made."""
    made = Counters(np.array([i for i, _ in before], np.int64), np.array([t for _, t in before], float) * DAY, (1.0, 7.0))
    tallies = Tallies(made.latest(5), (1.0, 7.0))
    for item, day in since:
        tallies.observe(np.array([item]), day * DAY)
    whole = made.joined(np.array([i for i, _ in since], np.int64), np.array([t for _, t in since], float) * DAY)
    asked = np.arange(8), np.full(8, 51 * DAY)
    np.testing.assert_allclose(tallies.at(*asked), whole.at(*asked), rtol=1e-5, atol=1e-6)
    assert (tallies.names, tallies.total) == (whole.names, whole.total)
