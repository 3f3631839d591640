"""What a sequence model is asked at each entry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.fading import DAY
from genre.sittings import sittings_E
from genre.successors import Course, Successors, Target
from genre.types import Histories

TWO_BASKETS = Histories.of([[1, 2, 3, 4]], [[0.0, 0.0, 9.0, 9.0]])


def draws(histories: Histories, target: Target, seconds: float | None = 0.0, repeats: bool = True) -> list[Course]:
    successors = Successors(histories, histories.item_idx_E, seconds, target, repeats)
    return [successors.draw(np.random.default_rng(seed)) for seed in range(100)]


def test_without_ties_the_order_stands_and_each_entry_asks_for_the_next() -> None:
    for course in draws(Histories.of([[5, 6, 7], [], [8], [9, 5]]), "entry"):
        assert course.item_E.tolist() == [5, 6, 7, 8, 9, 5]
        assert course.target_E.tolist() == [6, 7, -1, -1, 5, -1]


def test_the_order_within_a_sitting_is_drawn_and_that_of_sittings_kept() -> None:
    found = {tuple(course.item_E.tolist()) for course in draws(TWO_BASKETS, "entry")}
    assert found == {(1, 2, 3, 4), (2, 1, 3, 4), (1, 2, 4, 3), (2, 1, 4, 3)}
    assert {tuple(course.item_E.tolist()) for course in draws(TWO_BASKETS, "entry", seconds=None)} == {(1, 2, 3, 4)}


def test_the_next_sitting_is_asked_of_every_entry_and_never_the_same_sitting() -> None:
    found = draws(TWO_BASKETS, "sitting")
    assert {tuple(course.target_E[:2].tolist()) for course in found} == {(3, 3), (3, 4), (4, 3), (4, 4)}
    assert {tuple(course.target_E[2:].tolist()) for course in found} == {(-1, -1)}


def test_users_with_equal_clocks_do_not_share_a_sitting() -> None:
    histories = Histories.of([[1], [2, 3]], [[5.0], [5.0, 6.0]])
    assert sittings_E(histories, 0.0).tolist() == [0, 1, 2]
    assert all(course.target_E.tolist() == [-1, 3, -1] for course in draws(histories, "sitting"))


def test_what_was_had_before_is_asked_only_where_repeats_are_allowed() -> None:
    histories = Histories.of([[1, 2, 1, 3]], [[0.0, 1.0, 2.0, 3.0]])
    assert all(course.target_E.tolist() == [2, -1, 3, -1] for course in draws(histories, "entry", repeats=False))
    assert all(course.target_E.tolist() == [2, 1, 3, -1] for course in draws(histories, "entry", repeats=True))
    # A sitting of nothing but old items is passed over for the next that has a new one.
    assert all(course.target_E.tolist() == [2, 3, 3, -1] for course in draws(histories, "sitting", repeats=False))


def test_with_a_half_life_a_target_that_old_is_asked_for_in_every_second_reading() -> None:
    histories = Histories.of([[1, 2, 3], [1, 4]], [[0.0, 2 * DAY, 4 * DAY], [0.0, 3 * DAY]])  # the newest is of the first user
    successors = Successors(histories, histories.item_idx_E, 0.0, "entry", repeats=True, half_life_days=1)
    asked = np.mean([successors.draw(np.random.default_rng(seed)).target_E >= 0 for seed in range(2000)], axis=0)
    assert asked == pytest.approx([0.25, 1, 0, 0.5, 0], abs=0.04)


@pytest.mark.parametrize("target", ["entry", "sitting"])
@given(rows=st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=8), max_size=6), seed=st.integers(0, 99))
def test_a_target_is_always_of_the_same_user_and_never_earlier(target: Target, rows: list[list[tuple[int, int]]], seed: int) -> None:
    rows = [sorted(row, key=lambda entry: entry[1]) for row in rows]
    histories = Histories.of([[item for item, _ in row] for row in rows], [[float(time) for _, time in row] for row in rows])
    course = Successors(histories, histories.item_idx_E, 0.0, target, repeats=True).draw(np.random.default_rng(seed))
    for b, row in enumerate(rows):
        part = slice(histories.offsets[b], histories.offsets[b + 1])
        assert sorted(course.item_E[part].tolist()) == sorted(item for item, _ in row)
        for asked, (_, time) in zip(course.target_E[part], row, strict=True):
            later = {item for item, when in row if when > time or (target == "entry" and when == time)}
            assert asked in later or (asked == -1 and (target == "entry" or not later))
