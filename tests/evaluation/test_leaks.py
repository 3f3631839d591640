"""Leak checks: what is found, and how it is said."""

import numpy as np
import pytest

from genre.evaluation.leaks import Check, leak_checks
from genre.types import GroundTruth, Histories


def truth_of(times: list[list[float]], now: list[float], targets: list[int], users: list[int] | None = None) -> GroundTruth:
    histories = Histories.of([list(range(len(row))) for row in times], times)
    queries = Histories(histories.item_idx_E, histories.time_E, histories.offsets, np.array(now))
    return GroundTruth(queries, np.array(targets), np.arange(len(times) + 1), np.array(users or range(len(times))))


def found(truth: GroundTruth, repeats: bool = False) -> dict[str, Check]:
    return {check.name: check for check in leak_checks(truth, repeats)}


def test_clean_data_is_ok() -> None:
    checks = found(truth_of([[1.0, 2.0], [1.0]], [3.0, 2.0], [5, 6]))
    assert {check.level for check in checks.values()} == {"ok"}
    assert checks["target in history"].sentence == "none of 2 test targets are in the user's own history"


def test_a_target_in_the_history_is_a_leak_unless_repeats_are_allowed() -> None:
    truth = truth_of([[1.0, 2.0], [1.0]], [3.0, 2.0], [1, 6])
    assert found(truth)["target in history"].level == "leak"
    assert found(truth)["target in history"].share == 0.5
    assert found(truth, repeats=True)["target in history"].level == "note"


def test_another_users_history_does_not_count() -> None:
    assert found(truth_of([[1.0, 2.0, 3.0], [1.0]], [4.0, 2.0], [7, 2]))["target in history"].count == 0


def test_an_event_after_the_target_is_a_leak() -> None:
    check = found(truth_of([[1.0, 9.0], [1.0]], [3.0, 2.0], [5, 6]))["history after target"]
    assert (check.level, check.count, check.of) == ("leak", 1, 2)


def test_a_tie_in_time_is_reported_as_a_share() -> None:
    check = found(truth_of([[1.0, 3.0], [1.0], [2.0]], [3.0, 2.0, 2.0], [5, 6, 7]))["tied with the event before"]
    assert check.level == "note"
    assert check.sentence == "67 % of test targets (2 of 3) share their time stamp with the event before: order within is shuffled"


def test_ties_left_in_the_order_of_the_file_are_not_called_shuffled() -> None:
    truth = truth_of([[1.0, 3.0]], [3.0], [5])
    assert leak_checks(truth, shuffled=False)[-1].sentence.endswith("order within is that of the file")


def test_a_user_asked_for_twice_is_noted() -> None:
    check = found(truth_of([[1.0], [1.0]], [2.0, 2.0], [5, 6], users=[4, 4]))["duplicated users"]
    assert (check.level, check.count) == ("note", 1)


@pytest.mark.parametrize("times", [[[np.nan, np.nan]], [[]]])
def test_without_a_clock_or_a_history_nothing_is_claimed(times: list[list[float]]) -> None:
    checks = found(truth_of(times, [np.nan], [5]))
    assert {check.level for check in checks.values()} == {"ok"}
    assert checks["tied with the event before"].sentence == "no query has a clock: order is that of the file"
