"""Leak checks: what is found in a split, how it is said, and who hears of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import genre
from genre.checking import check
from genre.data.leaks import Check, leak_checks
from genre.data.splitting import TEST, TRAIN, VALID

Row = tuple[int, int, float | None, int]


def found(rows: list[Row], repeats: bool = False, shuffled: bool = True) -> dict[str, Check]:
    schema = {"user_idx": pl.Int32, "item_idx": pl.Int32, "time": pl.Float64, "part": pl.Int8}
    return {each.name: each for each in leak_checks(pl.DataFrame(rows, schema=schema, orient="row"), repeats, shuffled)}


def test_a_split_in_time_without_repeats_is_ok() -> None:
    checks = found([(0, 0, 1, TRAIN), (0, 1, 4, TEST), (1, 0, 2, TRAIN), (1, 2, 5, TEST)])
    assert {each.level for each in checks.values()} == {"ok"}
    assert checks["target seen before"].sentence == "none of 2 test targets are of an item that their user had before"


def test_training_events_after_the_target_are_a_leak() -> None:
    late = found([(0, 0, 1, TRAIN), (0, 1, 2, TEST), (0, 2, 3, TRAIN), (1, 0, 1, TRAIN), (1, 1, 2, TEST)])["learnt after the target"]
    assert (late.level, late.count, late.of, late.share) == ("leak", 1, 2, 0.5)
    rows: list[Row] = [(0, 0, None, TRAIN), (0, 1, None, TEST), (0, 2, None, TRAIN)]
    assert found(rows)["learnt after the target"].level == "leak", "without a clock, the order of the rows is all there is"
    overlap: list[Row] = [(0, 0, 1, TRAIN), (0, 1, 9, TRAIN), (0, 2, 5, TEST)]
    assert found(overlap)["learnt after the target"].count == 1, "a session that began earlier and went on"


def test_copies_of_one_event_are_a_leak_where_repeats_count() -> None:
    rows: list[Row] = [(0, 0, 1, TRAIN), (0, 3, 2, VALID), (0, 3, 2, TEST), (1, 3, 2, TEST)]
    assert found(rows, repeats=True)["one event on both sides"].level == "leak"
    dropped = found(rows)["one event on both sides"]
    assert (dropped.level, dropped.count, dropped.of) == ("note", 1, 2)
    assert dropped.sentence.endswith("in what is known before: dropped, not judged")


def test_a_few_copies_among_many_targets_are_a_note() -> None:
    rows: list[Row] = [row for user in range(200) for row in ((user, 0, 1.0, TRAIN), (user, 1, 2.0, TEST))]
    rows[0] = (0, 1, 2.0, TRAIN)
    assert found(rows, repeats=True)["one event on both sides"].level == "note"


def test_an_item_had_before_and_the_future_of_others_are_noted() -> None:
    checks = found([(0, 3, 1, TRAIN), (0, 3, 4, TEST), (1, 0, 9, TRAIN)], repeats=True)
    assert {name for name, each in checks.items() if each.level == "note"} == {"target seen before", "others' future in training"}


def test_a_tie_in_time_is_reported_as_a_share() -> None:
    rows: list[Row] = [(0, 0, 3, TRAIN), (0, 1, 3, TEST), (1, 0, 1, TRAIN), (1, 1, 2, TEST), (2, 0, 2, TRAIN), (2, 1, 2, TEST)]
    tied = found(rows)["tied with the event before"]
    assert tied.level == "note"
    assert tied.sentence == "67 % of test targets (2 of 3) share their time stamp with the event before: order within is shuffled"
    assert found(rows, shuffled=False)["tied with the event before"].sentence.endswith("order within is that of the file")


def test_without_a_clock_or_a_test_nothing_is_claimed() -> None:
    checks = found([(0, 0, None, TRAIN), (0, 1, None, TEST)])
    assert {each.level for each in checks.values()} == {"ok"}
    assert checks["tied with the event before"].sentence == "no query has a clock: order is that of the file"
    assert found([(0, 0, 1, TRAIN)]) == {}


EXPORTED_TWICE = [(f"u{user}", f"i{(7 * user + at) % 40}", 100 * at, 1) for user in range(40) for at in (0, 1, 2, 3, 4, 4)]


def shop(folder: Path, rows: list[tuple[str, str, int, int]] = EXPORTED_TWICE, **data: Any) -> Path:
    pl.DataFrame(rows, schema=["user", "item", "at", "value"], orient="row").write_csv(folder / "events.csv")
    columns = {"user": "user", "item": "item", "time": "at", "value": "value"}
    reader = {"use": "files", "events": str(folder / "events.csv"), "columns": columns}
    if (folder / "items.csv").is_file():
        reader |= {"items": str(folder / "items.csv")}
    config = {"data": {"reader": reader, "repeats": True, **data}, "rankers": {"own": {"use": "repeats"}}, "evaluate": {"resamples": 100}}
    (folder / "shop.yaml").write_text(yaml.safe_dump(config))
    return folder / "shop.yaml"


def test_a_leak_is_told_before_anything_is_learnt_and_stands_in_the_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    run = genre.run(shop(tmp_path), folder=tmp_path / "run")
    assert caplog.messages[0].startswith("leak: 100 % of test targets (40 of 40) have a copy, of the same user, item and time")
    assert '<td class="leak">leak</td>' in (run.folder / "report.html").read_text()


def test_the_check_names_a_leak_as_an_error_and_says_what_to_do(tmp_path: Path) -> None:
    first = check(shop(tmp_path))[0][0]
    assert (first.severity, first.name, first.share) == ("error", "leak", 1.0)
    assert "drop copies" in first.advice
    once = {finding.name for finding in check(shop(tmp_path, EXPORTED_TWICE[::6] + EXPORTED_TWICE[1::6] + EXPORTED_TWICE[2::6]))[0]}
    assert "leak" not in once


def test_a_split_of_ones_own_that_does_not_follow_time_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "by_row.py").write_text(
        "import polars as pl\nfrom genre.data.splitting import Split\n\n\n"
        "class ByRow(Split):\n"
        "    def assign(self, interactions):\n"
        "        return interactions.select((2 * (pl.int_range(pl.len()) % 3 == 1)).cast(pl.Int8)).to_series()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = check(shop(tmp_path, split={"use": "by_row:ByRow"}, repeats=False))[0][0]
    assert (finding.severity, finding.name) == ("error", "leak")
    assert finding.what.startswith("learnt after the target: 100 % of test users (40 of 40)")


def test_a_split_that_cannot_be_made_is_found_before_training(tmp_path: Path) -> None:
    split = {"use": "global_time", "test_from": "2050-01-01T00:00:00"}
    finding = check(shop(tmp_path, split=split))[0][0]
    assert (finding.severity, finding.name) == ("error", "split")
    assert "windows are empty" in finding.what


def test_columns_of_items_that_were_computed_from_the_log_are_found(tmp_path: Path) -> None:
    rows = [(f"u{user}", f"i{item}", 10 * user + item, (user * item) % 5) for user in range(60) for item in range(40) if user % 40 >= item]
    log = pl.DataFrame(rows, schema=["user", "item", "at", "value"], orient="row")
    items = log.group_by("item", maintain_order=True).agg(times_bought=pl.len(), stars=pl.col("value").mean().round(2))
    items.with_columns(price=(pl.int_range(40) * 17) % 40).write_csv(tmp_path / "items.csv")
    finding = {each.name: each for each in check(shop(tmp_path, rows))[0]}["counted_in_the_log"]
    assert finding.examples == ("times_bought", "stars")
    assert "times_bought goes with how often items occur in this log (rank correlation 1.00)" in finding.what
