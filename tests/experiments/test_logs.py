"""Logs to sums: counted by hand, whatever the format; and what is wrong with them in words."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_logs import DAY, START, define

from genre.data.readers.rejection import ReadError
from genre.experiments.definition import ExperimentError
from genre.experiments.logs import Log, read_logs

METRICS: dict[str, Any] = {
    "clicks": {"use": "mean", "event": "click"},
    "spend": {"use": "mean", "event": "purchase", "of": "value"},
    "ctr": {"use": "ratio", "event": "click", "per": "impression"},
    "degraded": {"use": "degraded"},
}
EXPOSURES: list[dict[str, Any]] = [
    {"unit": f"{side}{i}", "variant": side, "time": START + i * DAY, "bad": i == 1, "ms": 10 * i}
    for side in ("old", "new")
    for i in range(3)
]
EXPOSURES.append({"unit": "old0", "variant": "old", "time": START + 2 * DAY, "bad": True, "ms": 99})
EVENTS: list[dict[str, Any]] = [
    {"unit": "old0", "event": "click", "time": START - DAY, "value": None},  # before
    {"unit": "old0", "event": "click", "time": START, "value": None},
    {"unit": "old0", "event": "impression", "time": START + 1.5 * DAY, "value": None},
    {"unit": "old1", "event": "purchase", "time": START + 1.5 * DAY, "value": 7.5},
    {"unit": "old1", "event": "purchase", "time": START + 0.5 * DAY, "value": 2.0},  # before its show on day 1
    {"unit": "new2", "event": "click", "time": START + 9 * DAY, "value": None},
    {"unit": "new2", "event": "like", "time": START + 9 * DAY, "value": None},
    {"unit": "stranger", "event": "click", "time": START, "value": None},
]


def write(folder: Path, exposures: Any = None, events: Any = None) -> None:
    pl.DataFrame(EXPOSURES if exposures is None else exposures).write_csv(folder / "exposures.csv")
    pl.DataFrame(EVENTS if events is None else events, infer_schema_length=None).write_csv(folder / "events.csv")


def read(folder: Path, now: float | None = None, started: float | None = None, **more: Any) -> Log:
    logs = {"exposures": "exposures.csv", "events": "events.csv", "degraded": "bad", "latency": "ms"}
    return read_logs(define(folder, **{"metrics": METRICS, "logs": logs, **more}), started, now)


def test_sums_by_hand(tmp_path: Path) -> None:
    write(tmp_path)
    log = read(tmp_path)
    row = {unit: i for i, unit in enumerate(log.units["unit"])}
    assert log.units["exposed"].is_sorted() and len(log.units) == 6
    assert (log.started, log.now, log.days, log.strangers, log.crossed) == (START, START + 9 * DAY, 10, 1, 0)
    total = log.daily.group_by("row").sum().sort("row")
    spend = dict(zip(total["row"], total["spend.num"], strict=True))
    assert spend[row["old1"]] == 7.5
    first = log.daily.filter((pl.col("row") == row["old0"]) & (pl.col("day") == 0))
    assert first.select("age", "clicks.num", "ctr.num", "ctr.den", "degraded.den").row(0) == (0, 1, 1, 0, 1)
    late = log.daily.filter((pl.col("row") == row["new2"]) & (pl.col("day") == 9))
    assert late.select("age", "clicks.num").row(0) == (7, 1)
    before = log.before.sort("row").select("row", "clicks.num", "spend.num").rows()
    assert sorted(before) == sorted([(row["old0"], 1.0, 0.0), (row["old1"], 0.0, 2.0)])
    shown_again = log.daily.filter(pl.col("row") == row["old0"])
    assert (shown_again["degraded.num"].sum(), shown_again["degraded.den"].sum()) == (1, 2)
    assert sorted(log.answers["latency"]) == [0, 0, 10, 10, 20, 20, 99]


def test_formats_agree_and_ids_are_text(tmp_path: Path) -> None:
    write(tmp_path)
    as_csv = read(tmp_path)
    for name in ("exposures", "events"):
        pl.read_csv(tmp_path / f"{name}.csv").write_parquet(tmp_path / f"{name}.parquet")
        pl.read_csv(tmp_path / f"{name}.csv").write_ndjson(tmp_path / f"{name}.jsonl")
    for suffix in ("parquet", "jsonl"):
        logs = {"exposures": f"exposures.{suffix}", "events": f"events.{suffix}", "degraded": "bad", "latency": "ms"}
        again = read(tmp_path, logs=logs)
        assert again.daily.equals(as_csv.daily) and again.before.equals(as_csv.before) and again.units.equals(as_csv.units)


def test_numeric_ids_meet_their_text(tmp_path: Path) -> None:
    logs = {"exposures": "exposures.parquet", "events": "events.csv"}
    pl.DataFrame({"unit": [1, 2, 3, 4], "variant": ["old", "new"] * 2, "time": [START] * 4}).write_parquet(tmp_path / "exposures.parquet")
    (tmp_path / "events.csv").write_text(f"unit,event,time\n1,click,{START}\n4.0,click,{START}\n03,click,{START}\n")
    log = read_logs(define(tmp_path, logs=logs, metrics={"clicks": METRICS["clicks"]}))
    assert log.daily["clicks.num"].sum() == 1  # "4.0" and "03" are other texts than "4" and "3"
    assert log.strangers == 2


def test_now_and_start_cut_the_log(tmp_path: Path) -> None:
    write(tmp_path)
    log = read(tmp_path, now=START + 1.2 * DAY)
    assert sorted(log.units["unit"]) == ["new0", "new1", "old0", "old1"]
    assert log.daily["spend.num"].sum() == 0
    assert log.days == 2
    assert sorted(read(tmp_path, started=START + 1).units["unit"]) == ["new1", "new2", "old0", "old1", "old2"]


def test_a_window_counts_the_days_after_the_first_show_only(tmp_path: Path) -> None:
    write(tmp_path)
    log = read(tmp_path, window_days=1)
    assert log.daily["clicks.num"].sum() == 1
    assert log.now == START + 9 * DAY


def test_one_experiment_of_a_log_that_holds_several(tmp_path: Path) -> None:
    other = [{"unit": "zzz", "variant": "blue", "time": START, "bad": False, "ms": 1, "experiment": "cart"}]
    write(tmp_path, [row | {"experiment": "home"} for row in EXPOSURES] + other)
    logs = {"exposures": "exposures.csv", "events": "events.csv", "degraded": "bad", "latency": "ms", "experiment": "experiment"}
    assert len(read(tmp_path, logs=logs).units) == 6
    with pytest.raises(ExperimentError, match=r"exposures.csv row 8: the variant 'blue' is none of home's: old, new"):
        read(tmp_path)


def test_assignments_stand_in_for_exposures_or_check_them(tmp_path: Path) -> None:
    write(tmp_path)
    pl.DataFrame(EXPOSURES[:6]).write_csv(tmp_path / "assignments.csv")
    alone = read(tmp_path, logs={"assignments": "assignments.csv", "events": "events.csv"}, metrics={"clicks": METRICS["clicks"]})
    assert len(alone.units) == 6
    both = {"assignments": "assignments.csv", "exposures": "exposures.csv", "events": "events.csv"}
    assert read(tmp_path, logs=both, metrics={"clicks": METRICS["clicks"]}).units.equals(alone.units)
    swapped = [row | ({"variant": "new"} if row["unit"] == "old2" else {}) for row in EXPOSURES[:6]]
    pl.DataFrame(swapped).write_csv(tmp_path / "assignments.csv")
    with pytest.raises(ExperimentError, match="1 units were shown two variants, such as 'old2': new and old"):
        read(tmp_path, logs=both, metrics={"clicks": METRICS["clicks"]})
    pl.DataFrame(EXPOSURES[:5]).write_csv(tmp_path / "assignments.csv")
    with pytest.raises(ExperimentError, match="1 exposed units were never assigned, such as 'new2'"):
        read(tmp_path, logs=both, metrics={"clicks": METRICS["clicks"]})


def test_a_unit_in_two_variants_is_an_error_or_left_out(tmp_path: Path) -> None:
    write(tmp_path, [*EXPOSURES, {"unit": "old2", "variant": "new", "time": START, "bad": False, "ms": 1}])
    with pytest.raises(ExperimentError, match=r"'old2': new and old.*`crossed: drop`"):
        read(tmp_path)
    log = read(tmp_path, crossed="drop")
    assert log.crossed == 1 and "old2" not in log.units["unit"].to_list()


def test_rows_without_unit_or_time_are_rejected_by_number(tmp_path: Path) -> None:
    events = [*EVENTS, {"unit": "", "event": "click", "time": START, "value": None}]
    write(tmp_path, events=events)
    with (tmp_path / "events.csv").open("a") as file:
        file.write("old0,click,yesterday,\nold0,click\n")
    rejected = read(tmp_path).rejected
    assert dict(zip(rejected["row"], rejected["reason"], strict=True)) == {
        9: "no unit",
        10: "time is not a time",
        11: "2 fields where the header has 4",
    }


@pytest.mark.parametrize("value", ["", "nan", "inf", "ten"])
def test_a_value_that_is_no_number_is_named_where_a_metric_sums_it(tmp_path: Path, value: str) -> None:
    write(tmp_path)
    with (tmp_path / "events.csv").open("a") as file:
        file.write(f"old0,purchase,{START},{value}\n")
    with pytest.raises(ExperimentError, match=r"events.csv row 9: the 'purchase' of unit 'old0' has no number as its value"):
        read(tmp_path)
    assert read(tmp_path, metrics={"clicks": METRICS["clicks"], "buys": {"use": "mean", "event": "purchase"}}).days == 10


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    base = {"exposures": "exposures.csv", "events": "events.csv"}
    clicks = {"clicks": METRICS["clicks"]}
    with pytest.raises(ReadError, match="there is no column 'who'"):
        read(tmp_path, logs=base | {"unit": "who"}, metrics=clicks)
    with pytest.raises(ReadError, match="there is no column 'evnt'; did you mean 'event'"):
        read(tmp_path, logs=base | {"event": "evnt"}, metrics=clicks)
    with pytest.raises(ReadError, match="there is no column 'arm'"):
        read(tmp_path, logs=base | {"variant": "arm"}, metrics=clicks)
    with pytest.raises(ReadError, match=r"gone.csv: no such file"):
        read(tmp_path, logs=base | {"events": "gone.csv"}, metrics=clicks)
    with pytest.raises(ExperimentError, match=r"logs.events does not say"):
        read(tmp_path, logs={"exposures": "exposures.csv"}, metrics=clicks)
    with pytest.raises(ExperimentError, match=r"logs.exposures \(or logs.assignments\) does not say"):
        read(tmp_path, logs={"events": "events.csv"}, metrics=clicks)
    with pytest.raises(ExperimentError, match="nobody was exposed to 'home'"):
        read(tmp_path, now=START - 5 * DAY)
    with pytest.raises(ExperimentError, match="variant 'third' has 0 units"):
        read(tmp_path, variants={"old": {}, "new": {}, "third": {}})


@pytest.mark.parametrize(("column", "bad", "match"), [("bad", "perhaps", "not 0 or 1"), ("ms", "fast", "not a number of milliseconds")])
def test_flags_and_times_of_answers_must_be_such(tmp_path: Path, column: str, bad: str, match: str) -> None:
    write(
        tmp_path, [{key: str(value) for key, value in row.items()} | ({column: bad} if i == 3 else {}) for i, row in enumerate(EXPOSURES)]
    )
    with pytest.raises(ExperimentError, match=f"row 4: {column} is '{bad}', {match}"):
        read(tmp_path)


CELL = st.one_of(
    st.sampled_from(["u0", "u1", "u2", "click", "purchase", str(START), str(START + DAY), "nan", "", "3"]), st.text(max_size=4)
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL, CELL), max_size=8))
def test_whatever_the_events_hold_they_are_read_or_refused_in_words(cells: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pl.DataFrame({"unit": [f"u{i}" for i in range(4)], "variant": ["old", "new"] * 2, "time": [START] * 4}).write_csv(
            folder / "exposures.csv"
        )
        rows = [("u0", "click", str(START), "1"), *cells]
        pl.DataFrame(rows, schema=["unit", "event", "time", "value"], orient="row").write_csv(folder / "events.csv")
        try:
            log = read_logs(define(folder, metrics={"clicks": METRICS["clicks"], "spend": METRICS["spend"]}))
        except (ExperimentError, ReadError) as error:
            assert "events.csv" in str(error)
            return
        assert log.daily["clicks.num"].sum() >= 1
        assert log.daily.null_count().sum_horizontal()[0] == 0


def test_many_chunks_make_the_same_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    whole = read(tmp_path)
    monkeypatch.setattr("genre.experiments.sums.FOLD_ROWS", 1)
    monkeypatch.setattr("genre.data.readers.delimited.BLOCK", 128)
    assert read(tmp_path).daily.equals(whole.daily)
