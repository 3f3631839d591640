"""Each check finds what was planted, and says nothing about a clean log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.data.checks import CHECKS, check
from genre.data.findings import Finding
from genre.data.readers import EVENTS
from genre.data.synthetic import World, WorldConfig

WORLD = World(WorldConfig(new_items=0.05))
EVENTS_FRAME = WORLD.events()
ITEMS = WORLD.items.select("item_id", text=pl.col("title") + " " + pl.col("description"))
NOW = 1_736_000_000.0
DAY = 86_400.0


def found(interactions: pl.DataFrame, items: pl.DataFrame | None = ITEMS, now: float = NOW) -> dict[str, Finding]:
    return {finding.name: finding for finding in check(interactions, items, now)}


def rows(**columns: Any) -> pl.DataFrame:
    """Events with defaults where nothing is said."""
    frame = pl.DataFrame(columns, schema_overrides={name: kind for name, kind in EVENTS.items() if name in columns})
    missing = {name: pl.lit("click" if name == "event" else None, kind) for name, kind in EVENTS.items() if name not in columns}
    return frame.with_columns(**missing).select(list(EVENTS))


def spread(n_users: int, n_items: int, seed: int = 0) -> pl.DataFrame:
    """Every user has `n_items` distinct items of 1000, at random seconds of a year."""
    rng = np.random.default_rng(seed)
    item_E = np.concatenate([rng.choice(1000, n_items, replace=False) for _ in range(n_users)])
    return rows(
        user_id=[f"u{user}" for user in np.repeat(np.arange(n_users), n_items)],
        item_id=[f"i{item:04d}" for item in item_E],
        time=np.floor(1.70e9 + 3e7 * rng.random(len(item_E))),
    )


def test_a_clean_world_has_nothing_to_find() -> None:
    assert check(EVENTS_FRAME, ITEMS, NOW) == []
    bigger = World(WorldConfig(users=2000, items=800, topics=16, new_items=0.05, seed=5))
    assert check(bigger.events().lazy(), bigger.items.select("item_id", text="title"), NOW) == []


def test_a_log_without_catalogue_is_checked_as_far_as_it_goes() -> None:
    assert check(EVENTS_FRAME, None, NOW) == []


def test_an_empty_log_is_one_error() -> None:
    (finding,) = check(EVENTS_FRAME.clear(), ITEMS, NOW)
    assert (finding.severity, finding.name) == ("error", "empty")


def test_repeated_rows_are_counted() -> None:
    finding = found(pl.concat([EVENTS_FRAME, EVENTS_FRAME.head(100)]))["duplicate_rows"]
    assert finding.count == 100
    assert finding.severity == "warning"
    assert set(finding.examples) <= set(EVENTS_FRAME.head(100)["user_id"])
    assert found(pl.concat([EVENTS_FRAME, EVENTS_FRAME.head(1)]))["duplicate_rows"].severity == "note"


def test_two_events_of_one_moment_are_told_from_repeated_rows() -> None:
    bought = EVENTS_FRAME.head(10).with_columns(event=pl.lit("purchase"))
    findings = found(pl.concat([EVENTS_FRAME, bought]))
    assert findings["simultaneous"].count == 10
    assert "duplicate_rows" not in findings


def test_tomorrow_is_allowed_and_next_week_is_not() -> None:
    newest = EVENTS_FRAME["time"].max()
    assert isinstance(newest, float)
    assert "future" not in found(EVENTS_FRAME, now=newest - 0.5 * DAY)
    finding = found(EVENTS_FRAME, now=newest - 7 * DAY)["future"]
    assert finding.severity == "error"
    assert finding.count == (EVENTS_FRAME["time"] > newest - 6 * DAY).sum()


def test_milliseconds_are_an_error_of_unit_not_of_the_future() -> None:
    findings = found(EVENTS_FRAME.with_columns(pl.col("time") * 1000))
    assert findings["wrong_unit"].share == 1.0
    assert "time_format" in findings["wrong_unit"].advice
    assert "future" not in findings


def test_time_zero_is_found() -> None:
    finding = found(EVENTS_FRAME.with_columns(time=pl.when(pl.int_range(pl.len()) < 7).then(0.0).otherwise("time")))["before_the_web"]
    assert finding.count == 7
    assert finding.examples[0].endswith("at 0")


def test_a_constant_time_and_a_date_are_no_clock() -> None:
    assert found(EVENTS_FRAME.with_columns(time=pl.lit(1.72e9)))["constant"].severity == "error"
    dates = EVENTS_FRAME.with_columns(pl.col("time") // DAY * DAY)
    assert "the day only" in found(dates)["coarse"].what
    # Local midnights, an hour later in summer.
    summer = pl.when(pl.col("time") > 1.715e9).then(3600.0).otherwise(0.0)
    assert "the day only" in found(dates.with_columns(pl.col("time") + summer))["coarse"].what
    assert "the hour only" in found(EVENTS_FRAME.with_columns(pl.col("time") // 3600 * 3600))["coarse"].what
    assert "coarse" not in found(EVENTS_FRAME.with_columns(pl.col("time") // 60 * 60))


def test_missing_times_are_a_note_if_all_and_a_warning_if_some_are_missing() -> None:
    assert found(EVENTS_FRAME.with_columns(time=pl.lit(None, pl.Float64)))["no_clock"].severity == "note"
    some = EVENTS_FRAME.with_columns(time=pl.when(pl.int_range(pl.len()) % 10 > 0).then("time"))
    assert found(some)["no_clock"].severity == "warning"
    assert found(some)["no_clock"].share == pytest.approx(0.1, abs=0.001)


def test_users_whose_last_two_events_are_simultaneous_are_counted() -> None:
    # In each user's history the last event moves onto the time of the one before, for every second user.
    last = pl.int_range(pl.len()).over("user_id") == pl.len().over("user_id") - 1
    half = pl.col("user_id").cast(pl.Int64) % 2 == 0
    tied = EVENTS_FRAME.with_columns(time=pl.when(last & half).then(pl.col("time").shift().over("user_id")).otherwise("time"))
    finding = found(tied)["ties_at_the_end"]
    assert finding.count == 150
    assert finding.share == pytest.approx(0.5)
    assert all(int(user) % 2 == 0 for user in finding.examples)


def test_ties_in_order_of_id_are_an_artefact_and_shuffled_ties_are_not() -> None:
    dates = EVENTS_FRAME.with_columns(pl.col("time") // (7 * DAY) * 7 * DAY)
    assert "ordered_by_id" not in found(dates)
    finding = found(dates.sort("user_id", "time", "item_id"))["ordered_by_id"]
    assert finding.share == 1.0
    assert "ascending" in finding.what
    assert "descending" in found(dates.sort("user_id", "time", "item_id", descending=[False, False, True]))["ordered_by_id"].what


def test_ids_that_are_numbers_are_in_order_of_the_number() -> None:
    items = np.sort(np.random.default_rng(0).choice(1000, (200, 4)), axis=1)
    log = rows(user_id=[f"u{user}" for user in np.repeat(np.arange(200), 4)], item_id=[str(item) for item in items.ravel()])
    finding = found(log, None)["ordered_by_id"]
    assert finding.share == 1.0
    assert "no clock" in finding.what


def test_users_with_one_interaction_are_counted() -> None:
    single = rows(user_id=[f"new{i}" for i in range(100)], item_id=["0001"] * 100, time=1.72e9 + np.arange(100.0))
    finding = found(pl.concat([EVENTS_FRAME, single]))["single_interaction_users"]
    assert (finding.count, finding.share) == (100, 0.25)
    assert finding.severity == "note"


def test_a_robot_is_found_by_its_number_of_events() -> None:
    rng = np.random.default_rng(0)
    names = [f"{item:04d}" for item in rng.integers(200, size=3000)]
    robot = rows(user_id=["robot"] * 3000, item_id=names, time=np.floor(1.705e9 + 3e7 * rng.random(3000)))
    finding = found(pl.concat([EVENTS_FRAME, robot]))["hyperactive_users"]
    assert finding.examples == ("robot",)


def test_a_robot_is_found_by_its_speed_but_a_large_basket_is_no_robot() -> None:
    names = [f"{item:04d}" for item in range(120)]
    fast = rows(user_id=["script"] * 120, item_id=names, time=1.72e9 + np.arange(120.0))
    basket = rows(user_id=["shopper"] * 120, item_id=names[::-1], time=[1.72e9] * 120)
    finding = found(pl.concat([EVENTS_FRAME, fast, basket]))["too_fast_users"]
    assert finding.examples == ("script",)
    assert "60 times" in finding.what


def test_one_person_under_two_ids_is_found() -> None:
    busy = EVENTS_FRAME.group_by("user_id").len().filter(pl.col("len") >= 12).sort("user_id")["user_id"][0]
    twin = EVENTS_FRAME.filter(pl.col("user_id") == busy).with_columns(user_id=pl.lit("twin"))
    finding = found(pl.concat([EVENTS_FRAME, twin.reverse()]))["duplicated_users"]
    assert finding.count == 1
    assert finding.examples == (f"{busy} = twin",)


def test_items_unknown_to_the_catalogue_are_counted_with_their_events() -> None:
    fewer = ITEMS.filter(pl.col("item_id") != "0025")
    finding = found(EVENTS_FRAME, fewer)["unknown_items"]
    assert (finding.count, finding.severity, finding.examples) == (1, "warning", ("0025",))


def test_lost_leading_zeros_are_named_as_the_reason() -> None:
    bare = ITEMS.with_columns(pl.col("item_id").cast(pl.Int64).cast(pl.String))
    finding = found(EVENTS_FRAME, bare)["unknown_items"]
    assert finding.severity == "error"
    assert "leading zeros" in finding.advice
    strangers = found(EVENTS_FRAME, ITEMS.with_columns(item_id="X" + pl.col("item_id")))["unknown_items"]
    assert "hardly meet" in strangers.advice


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_items_without_text_are_counted(empty: str | None) -> None:
    silent = ITEMS.with_columns(text=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit(empty, pl.String)).otherwise("text"))
    finding = found(EVENTS_FRAME, silent)["without_text"]
    assert (finding.count, finding.share) == (20, 0.1)
    assert finding.examples == tuple(ITEMS["item_id"][:5])
    assert "duplicate_texts" not in found(EVENTS_FRAME, silent)


def test_items_with_the_same_text_are_counted() -> None:
    same = ITEMS.with_columns(text=pl.when(pl.int_range(pl.len()) < 51).then(pl.lit("a bag")).otherwise("text"))
    finding = found(EVENTS_FRAME, same)["duplicate_texts"]
    assert (finding.count, finding.share) == (50, 0.25)


def test_catalogue_items_that_nobody_touched_are_counted() -> None:
    more = pl.concat([ITEMS, pl.DataFrame({"item_id": [f"x{i}" for i in range(50)], "text": [f"new thing {i}" for i in range(50)]})])
    finding = found(EVENTS_FRAME, more)["never_touched"]
    assert (finding.count, finding.share) == (50, 0.2)


def test_one_item_that_everyone_gets_is_named() -> None:
    bags = rows(user_id=EVENTS_FRAME["user_id"].head(3000), item_id=["bag"] * 3000, time=EVENTS_FRAME["time"].head(3000) + 1)
    finding = found(pl.concat([EVENTS_FRAME, bags]), None)["skewed"]
    assert finding.severity == "warning"
    assert finding.examples[0] == "bag"


def test_items_that_appear_in_the_newest_tenth_are_counted() -> None:
    newest = EVENTS_FRAME["time"].quantile(0.9, "higher")
    assert newest is not None
    renamed = pl.when((pl.col("time") >= newest) & (pl.col("item_id") < "0100")).then("n" + pl.col("item_id")).otherwise("item_id")
    log = EVENTS_FRAME.with_columns(item_id=renamed)
    finding = found(log, None)["cold_lately"]
    assert finding.count == log.filter(pl.col("item_id").str.starts_with("n"))["item_id"].n_unique()
    assert finding.severity == "warning"


def test_errors_come_first_and_every_check_can_be_found_by_its_name() -> None:
    severities = [finding.severity for finding in check(EVENTS_FRAME.with_columns(time=pl.lit(2.5e9)), ITEMS.head(150), NOW)]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert "error" in severities and "warning" in severities
    names: list[Callable[..., object]] = [*CHECKS]
    assert len({function.__name__ for function in names}) == 21


def test_nothing_is_alleged_about_random_data() -> None:
    assert check(spread(300, 12), None, 1.74e9) == []


def test_one_is_told_in_the_singular() -> None:
    one = EVENTS_FRAME.with_columns(time=pl.when(pl.int_range(pl.len()) == 0).then(0.0).otherwise("time"))
    assert found(one)["before_the_web"].what.startswith("the time of 1 interaction (")
    items = ITEMS.with_columns(text=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("")).otherwise("text"))
    assert found(EVENTS_FRAME, items)["without_text"].what == f"1 of {len(ITEMS)} items (0.5 %) has no text"
