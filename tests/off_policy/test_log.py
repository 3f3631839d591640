"""Exposure logs: from Parquet to arrays, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.evaluation.off_policy.log import ExposureLog, read_log

EXPOSURES: dict[str, list[Any]] = {
    "request_id": ["r1", "r2", "r3"],
    "unit": ["ann", "bob", "ann"],
    "surface": ["home", "home", "cart"],
    "items": [["a", "b"], ["b"], ["c", "a"]],
    "positions": [[1, 0], [0], [0, 1]],
    "propensities": [[0.5, 0.25], [0.125], [1.0, 0.75]],
    "time": [10.0, 20.0, None],
}
EVENTS: dict[str, list[Any]] = {
    "type": ["click", "click", "purchase", "click", "view", "click"],
    "request_id": ["r1", "r1", "r1", "r3", "r2", None],
    "item_id": ["a", "a", "a", "c", "b", "b"],
}


def write(folder: Path, change: dict[str, list[Any]] | None = None, events: dict[str, list[Any]] | None = EVENTS) -> Path:
    table = {name: values for name, values in {**EXPOSURES, **(change or {})}.items() if values}
    pl.DataFrame(table, strict=False).write_parquet(folder / "exposures.parquet")
    if events is not None:
        pl.DataFrame(events).write_parquet(folder / "events.parquet")
    return folder


def test_a_log_becomes_matrices_best_place_first(tmp_path: Path) -> None:
    log = read_log(write(tmp_path))
    assert [[log.item_ids[i] for i in row if i >= 0] for row in log.item_RS] == [["b", "a"], ["b"], ["c", "a"]]
    assert log.logging_RS.tolist() == [[0.25, 0.5], [0.125, 1.0], [1.0, 0.75]]
    assert log.filled_RS.tolist() == [[True, True], [True, False], [True, True]]
    assert log.position_RS.tolist() == [[0, 1], [0, 0], [0, 1]]
    assert log.cluster_R[0] == log.cluster_R[2] != log.cluster_R[1]
    assert log.time_R[:2].tolist() == [10.0, 20.0] and np.isnan(log.time_R[2])
    assert log.aligned(pl.Series([[1, 2], [3], [4, 5]]), -1.0).tolist() == [[2, 1], [3, -1], [4, 5]]


def test_rewards_count_an_event_once_and_by_its_type(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_log(tmp_path).reward_RS.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert read_log(tmp_path, {"click": 1, "purchase": 10, "view": -0.5}).reward_RS.tolist() == [[0, 11], [-0.5, 0], [1, 0]]


def test_one_file_with_its_rewards_is_a_log(tmp_path: Path) -> None:
    write(tmp_path, {"rewards": [[0.0, 1.0], [2.0], [3.0, 4.0]]}, None)
    assert read_log(tmp_path / "exposures.parquet").reward_RS.tolist() == [[1, 0], [2, 0], [3, 4]]


def test_without_positions_and_times_the_order_is_the_place(tmp_path: Path) -> None:
    log = read_log(write(tmp_path, {"positions": [], "time": []}))
    assert log.logging_RS[0].tolist() == [0.5, 0.25]
    assert log.position_RS.tolist() == [[0, 1], [0, 0], [0, 1]]
    assert np.isnan(log.time_R).all()


def test_some_of_a_log_can_be_chosen(tmp_path: Path) -> None:
    assert len(read_log(write(tmp_path), where={"surface": "home"})) == 2
    assert read_log(tmp_path, since=20.0).time_R.tolist() == [20.0], "of one without a time it is not known that it came later"
    with pytest.raises(ValueError, match="no exposure is left where surface is garage"):
        read_log(tmp_path, where={"surface": "garage"})
    with pytest.raises(ValueError, match="no column 'shop' to choose by; it has request_id"):
        read_log(tmp_path, where={"shop": "1"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"propensities": [[0.5, 0.0], [0.1], [1.0, 0.5]]}, "request 'r1' has a propensity that is not above 0"),
        ({"propensities": [[0.5, 0.1], [None], [1.0, 0.5]]}, "request 'r2' has a propensity that is not above 0"),
        ({"propensities": [[0.5, 0.1], [0.1], [float("nan"), 1.5]]}, "request 'r3' has a propensity"),
        ({"propensities": [[0.5, 0.1], None, [1.0, 0.5]]}, "request 'r2' has no propensities"),
        ({"propensities": [[0.5], [0.1], [1.0, 0.5]]}, "request 'r1' has another number of propensities than of items"),
        ({"positions": [[1, 0], [0, 1], [0, 1]]}, "request 'r2' has another number of positions"),
        ({"items": [["a", "a"], ["b"], ["c", "a"]]}, "request 'r1' shows an item twice"),
        ({"request_id": ["r1", "r1", "r3"]}, "request 'r1', 'r1' has a request_id that another one has"),
        ({"unit": []}, "has no column unit; an exposure log needs request_id, unit, items, propensities"),
        ({"items": [[], [], []]}, "no exposure is left"),
    ],
)
def test_a_broken_log_is_refused_by_name(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_log(write(tmp_path, change))


def test_a_log_without_events_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="what came of the exposures"):
        read_log(write(tmp_path, events=None))
    with pytest.raises(FileNotFoundError, match="no exposure log"):
        read_log(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no column request_id; events need request_id, item_id and type"):
        read_log(write(tmp_path, events={"type": ["click"], "item_id": ["a"]}))


def test_ids_that_are_numbers_are_read_as_text(tmp_path: Path) -> None:
    events = {**EVENTS, "request_id": [1] * 6, "item_id": [7] * 6}
    log: ExposureLog = read_log(write(tmp_path, {"request_id": [1, 2, 3], "items": [[7, 8], [8], [9, 7]]}, events))
    assert log.item_ids == ["7", "8", "9"]
    assert log.reward_RS.sum() == 1
