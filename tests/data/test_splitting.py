from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from genre.component import build
from genre.data.splitting import COLD, LATER, TEST, TRAIN, VALID, Split

DAY = 86_400.0


def frame(rows: list[tuple[int, float | None, int]]) -> pl.DataFrame:
    """Rows of user, time in days, session."""
    return pl.DataFrame(
        {
            "user_idx": [row[0] for row in rows],
            "time": [None if row[1] is None else row[1] * DAY for row in rows],
            "session": [row[2] for row in rows],
        },
        schema={"user_idx": pl.Int32, "time": pl.Float64, "session": pl.Int32},
    )


def parts(settings: dict[str, object], rows: list[tuple[int, float | None, int]]) -> list[int]:
    return build(Split, settings).parts(frame(rows)).to_list()


def test_leave_last_out_takes_the_last_two_of_users_with_three() -> None:
    rows: list[tuple[int, float | None, int]] = [(0, None, 0), (0, None, 1), (0, None, 2), (0, None, 3), (1, None, 0), (1, None, 1)]
    assert parts({"use": "leave_last_out"}, rows) == [TRAIN, TRAIN, VALID, TEST, TRAIN, TRAIN]


def test_leave_last_out_by_session_takes_whole_baskets() -> None:
    rows: list[tuple[int, float | None, int]] = [(0, 1, 0), (0, 2, 1), (0, 2, 1), (0, 3, 2), (0, 3, 2), (1, 1, 0), (1, 1, 0), (1, 1, 0)]
    assert parts({"use": "leave_last_out", "unit": "session"}, rows) == [TRAIN, VALID, VALID, TEST, TEST, TRAIN, TRAIN, TRAIN]


def test_global_time_judges_each_user_by_the_first_session_in_a_window() -> None:
    rows: list[tuple[int, float | None, int]] = [
        (0, 1, 0), (0, 11, 1), (0, 11, 1), (0, 12, 2), (0, 21, 3), (0, 22, 4), (1, 2, 0), (1, 25, 1),
    ]  # fmt: skip
    settings = {"use": "global_time", "unit": "session", "valid_from": datetime(1970, 1, 11), "test_from": datetime(1970, 1, 21)}
    assert parts(settings, rows) == [TRAIN, VALID, VALID, LATER, TEST, LATER, TRAIN, TEST]


def test_global_time_by_shares_puts_the_newest_into_the_test_window() -> None:
    rows: list[tuple[int, float | None, int]] = [(user, float(user), 0) for user in range(10)]
    assert parts({"use": "global_time", "valid_share": 0.2, "test_share": 0.2}, rows) == [TRAIN] * 6 + [VALID] * 2 + [TEST] * 2


def test_global_time_needs_a_clock_and_windows_that_hold_something() -> None:
    with pytest.raises(ValueError, match=r"needs a time in every row, 1 have none"):
        parts({"use": "global_time"}, [(0, None, 0), (0, 1, 0)])
    with pytest.raises(ValueError, match="windows are empty: data runs from 1970-01-02"):
        parts({"use": "global_time", "valid_from": datetime(1980, 1, 1)}, [(0, 1, 0), (0, 2, 0), (0, 3, 0)])


def test_refit_learns_from_all_that_came_before_the_first_test() -> None:
    settings = {"use": "global_time", "valid_from": datetime(1970, 1, 3), "test_from": datetime(1970, 1, 5), "refit": True}
    rows: list[tuple[int, float | None, int]] = [
        (0, 1, 0),
        (0, 2.5, 1),
        (0, 3.5, 2),
        (0, 4.5, 3),
        (0, 6, 4),
        (1, 1, 0),
        (1, 3.9, 1),
        (1, 7, 2),
    ]
    assert parts(settings, rows) == [TRAIN, TRAIN, TRAIN, TEST, LATER, TRAIN, TRAIN, TEST]
    assert parts(settings | {"refit": False}, rows) == [TRAIN, VALID, LATER, TEST, LATER, TRAIN, VALID, TEST]
    plain: list[tuple[int, float | None, int]] = [(0, None, n) for n in range(4)]
    assert parts({"use": "leave_last_out", "refit": True}, plain) == [TRAIN, TRAIN, TRAIN, TEST]
    assert build(Split, settings).describe() == "global-time, learnt anew from training and validation"


def test_no_split_trains_on_everything() -> None:
    assert parts({"use": "none"}, [(0, 1, 0), (0, 2, 1), (0, 3, 2)]) == [TRAIN] * 3


def test_parts_are_distinct() -> None:
    assert len({TRAIN, VALID, TEST, LATER, COLD}) == 5
