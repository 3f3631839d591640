"""`genre init` guesses roles by name, by cells and by which ids meet; says what it saw; and asks where it cannot tell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from genre.data.columns import KEPT_ROWS, Column, look, simple
from genre.data.profiling import profile, write_config
from genre.data.readers.rejection import ReadError
from genre.data.roles import RoleError
from genre.data.synthetic import World, WorldConfig

WORLD = World(WorldConfig(users=700))
EVENTS, ITEMS, USERS = WORLD.events(), WORLD.items, WORLD.users


def written(folder: Path, frame: pl.DataFrame, name: str) -> Path:
    file = folder / name
    if file.suffix == ".parquet":
        frame.write_parquet(file)
    elif file.suffix == ".jsonl":
        frame.write_ndjson(file)
    else:
        frame.write_csv(file)
    return file


def settings(file: Path) -> dict[str, Any]:
    tree = yaml.safe_load(file.read_text())
    assert isinstance(tree, dict)
    return tree


def line(file: Path, start: str) -> str:
    """The one line that begins so, without its indent."""
    (found,) = [text.strip() for text in file.read_text().splitlines() if text.strip().startswith(start)]
    return found


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_plain_shop_needs_no_help(tmp_path: Path, suffix: str) -> None:
    events, items, users = (written(tmp_path, frame, name + suffix) for frame, name in ((EVENTS, "e"), (ITEMS, "i"), (USERS, "u")))
    file = write_config("shop", events, items, users, folder=tmp_path)
    tree = settings(file)
    assert file == tmp_path / "shop.yaml"
    assert tree["name"] == "shop"
    reader = tree["data"]["reader"]
    assert reader == {
        "use": "files", "events": "e" + suffix, "items": "i" + suffix, "users": "u" + suffix, "item_id": "item_id", "user_id": "user_id",
        "columns": {"user": "user_id", "item": "item_id", "time": "time", "event": "event", "value": "value", "session": "session_id"},
    }  # fmt: skip
    assert tree["data"]["text"] == "{title} {category} {description}"
    assert tree["data"]["repeats"] is False
    assert tree["encoders"] == {"words": {"use": "tfidf"}, "text": {"use": "tfidf", "residual": 0, "whiten": True, "components": 64}}
    assert list(tree["rankers"]) == ["popularity", "transitions", "ease", "content", "ids", "hybrid", "blend"]
    assert tree["rankers"]["blend"]["of"] == ["transitions", "ease", "content", "hybrid"]
    assert tree["evaluate"] == {"cutoffs": [10, 20], "category": "category"}


def test_comments_say_what_was_seen(tmp_path: Path) -> None:
    events = written(tmp_path, EVENTS.with_columns(value=pl.when(pl.int_range(pl.len()) % 4 > 0).then("value")), "events.csv")
    items = written(tmp_path, ITEMS.head(180), "items.csv")
    file = write_config("shop", events, items, folder=tmp_path)
    assert line(file, "user: user_id").endswith("# 700 distinct, 0 % empty")
    assert line(file, "value: value").endswith("# 1 to 5, 5 distinct, 25 % empty")
    first, last = (datetime.fromtimestamp(EVENTS["time"][row], UTC).strftime("%Y-%m-%d") for row in (0, -1))
    assert f"{first} to {last}" in line(file, "time: time")
    met = EVENTS["item_id"].unique().is_in(ITEMS["item_id"].head(180).implode()).mean()
    assert isinstance(met, float)
    assert f"# {int(1000 * met) / 10:g} % of the items in the events are there" in line(file, "item_id:")
    assert f"{len(EVENTS):,} rows" in line(file, "events: events.csv")


def test_the_configuration_is_valid_as_it_stands(tmp_path: Path) -> None:
    from genre.config import load_config

    events, items = written(tmp_path, EVENTS, "events.csv"), written(tmp_path, ITEMS, "items.csv")
    config = load_config(write_config("shop", events, items, folder=tmp_path))
    assert config.served == "blend"
    assert load_config(write_config("bare", events, folder=tmp_path)).data.text == ""


def test_names_of_another_language_are_told_by_the_cells(tmp_path: Path) -> None:
    kunden = EVENTS.select(wer="user_id", was="item_id", wann=pl.from_epoch(pl.col("time").cast(pl.Int64)).dt.strftime("%Y-%m-%d %H:%M:%S"))
    waren = ITEMS.select(pl.Series("bild", [f"img/{i}.jpg" for i in range(200)]), nummer="item_id", worte="title", preis="price")
    found = profile(written(tmp_path, kunden, "k.csv"), written(tmp_path, waren, "w.csv"), written(tmp_path, USERS, "p.csv"))
    assert found.roles.events == {"user": "wer", "item": "was", "time": "wann"}
    assert (found.roles.items_key, found.roles.users_key) == ("nummer", "user_id")
    assert found.facts.texts == ("worte",)
    assert found.facts.title == "worte"


def test_a_catalogue_with_a_row_too_many_still_has_its_key(tmp_path: Path) -> None:
    items = pl.concat([ITEMS.head(20), ITEMS.head(3)])
    users = pl.concat([USERS.head(30), USERS.head(1)])
    events = EVENTS.filter(pl.col("item_id").is_in(items["item_id"].implode()) & pl.col("user_id").is_in(users["user_id"].implode()))
    found = profile(written(tmp_path, events, "e.csv"), written(tmp_path, items, "i.csv"), written(tmp_path, users, "u.csv"))
    assert (found.roles.items_key, found.roles.users_key) == ("item_id", "user_id")
    assert (found.roles.item_match, found.roles.user_match) == (1.0, 1.0)


def german(folder: Path, form: str, every: int) -> Path:
    """Sales with dates as Germans write them; each so-manieth of another form."""
    times = pl.from_epoch(pl.col("time").cast(pl.Int64))
    datum = (
        pl.when(pl.int_range(pl.len()) % every == every - 1).then(times.dt.strftime(form)).otherwise(times.dt.strftime("%d.%m.%Y %H:%M"))
    )
    return written(folder, EVENTS.select(kunde="user_id", artikel="item_id", datum=datum), "de.csv")


def test_most_times_of_one_form_are_a_clock_and_the_others_are_told(tmp_path: Path) -> None:
    from genre.checking import check

    roles = {"user": "kunde", "item": "artikel", "time": "datum"}
    file = write_config("de", german(tmp_path, "%d.%m.%Y", 4), folder=tmp_path, overrides=roles)
    reader = settings(file)["data"]["reader"]
    assert (reader["time_format"], reader["columns"]["time"]) == ("%d.%m.%Y %H:%M", "datum")
    assert "75 % of them, and rows with others will be rejected" in line(file, "time_format:")
    assert "no clock" not in file.read_text()
    _, rejected = check(file, [f"data.reader.events={tmp_path / 'de.csv'}"])
    assert len(rejected) == len(EVENTS) // 4
    assert rejected["reason"][0] == "datum (the time) is blank or not %d.%m.%Y %H:%M (data.reader.time_format)"


def test_times_that_cannot_be_read_are_no_clock_and_hold_nothing_up(tmp_path: Path) -> None:
    from genre.checking import check

    roles = {"user": "kunde", "item": "artikel", "time": "datum"}
    file = write_config("de", german(tmp_path, "am %d.%m. um %H", 1), folder=tmp_path, overrides=roles)
    assert "time" not in settings(file)["data"]["reader"]["columns"]
    assert "with a time_format under reader, like '%d.%m.%Y %H:%M', it can be the clock" in line(file, "# time: datum")
    assert "there is no clock" in line(file, "split:")
    _, rejected = check(file, [f"data.reader.events={tmp_path / 'de.csv'}"])
    assert rejected.is_empty()


def test_unix_numbers_without_a_telling_name_are_a_clock(tmp_path: Path) -> None:
    log = EVENTS.select("user_id", "item_id", c3=(pl.col("time") * 1000).cast(pl.Int64))
    found = profile(written(tmp_path, log, "log.csv"))
    assert found.roles.events["time"] == "c3"
    assert found.facts.clock is not None
    assert found.facts.clock.first.startswith("2024")


def test_invoices_are_sessions_and_european_dates_are_read(tmp_path: Path) -> None:
    lines = EVENTS.with_columns(time=pl.col("time").min().over("session_id")).select(
        InvoiceNo="session_id",
        StockCode="item_id",
        Quantity=pl.lit(2),
        InvoiceDate=pl.from_epoch(pl.col("time").cast(pl.Int64)).dt.strftime("%d/%m/%Y %H:%M"),
        CustomerID="user_id",
    )
    goods = ITEMS.select(StockCode="item_id", Description="description")
    file = write_config("retail", written(tmp_path, lines, "lines.csv"), written(tmp_path, goods, "goods.csv"), folder=tmp_path)
    tree = settings(file)
    assert tree["data"]["reader"]["columns"] == {"user": "CustomerID", "item": "StockCode", "time": "InvoiceDate", "session": "InvoiceNo"}
    assert tree["data"]["reader"]["time_format"] == "%d/%m/%Y %H:%M"
    assert tree["data"]["split"]["unit"] == "session"
    assert tree["rankers"]["transitions"] == {"use": "transitions", "sitting_seconds": 0}
    assert line(file, "# not used: ") == "# not used: Quantity"


def test_of_two_item_columns_the_one_that_meets_the_catalogue_wins(tmp_path: Path) -> None:
    log = EVENTS.with_columns(item_id=pl.lit("X") + pl.col("item_id"), asin="item_id")
    found = profile(written(tmp_path, log, "log.csv"), written(tmp_path, ITEMS.rename({"item_id": "parent_asin"}), "items.csv"))
    assert found.roles.events["item"] == "asin"
    assert found.roles.items_key == "parent_asin"
    assert found.roles.item_match == 1.0


def test_ids_that_meet_by_accident_do_not_overrule_names(tmp_path: Path) -> None:
    # User 0001 and item 0001 are the same text.
    log = EVENTS.select(customer="user_id", sku="item_id").with_columns(pl.all().cast(pl.Int64))
    goods = ITEMS.select(row=pl.int_range(pl.len()), sku=pl.col("item_id").cast(pl.Int64), title="title")
    found = profile(written(tmp_path, log, "log.csv"), written(tmp_path, goods, "items.csv"))
    assert found.roles.events == {"user": "customer", "item": "sku"}
    assert found.roles.items_key == "sku"


def test_a_column_that_cannot_be_told_is_asked_for_with_the_columns_listed(tmp_path: Path) -> None:
    log = written(tmp_path, EVENTS.select(a="user_id", b="item_id", c="value"), "log.csv")
    with pytest.raises(RoleError, match=r"which column is the item.*a \(.*b \(.*c \(number: .*--role item=COLUMN"):
        profile(log)
    with pytest.raises(RoleError, match="--role user=COLUMN"):
        profile(written(tmp_path, EVENTS.select("item_id", a="user_id", b="session_id"), "two.csv"))
    found = profile(log, overrides={"user": "a", "item": "b"})
    assert found.roles.events == {"user": "a", "item": "b"}


def test_overrides_are_checked_and_believed(tmp_path: Path) -> None:
    log = written(tmp_path, EVENTS, "log.csv")
    assert "time" not in profile(log, overrides={"time": "none"}).roles.events
    assert profile(log, overrides={"value": "time"}).roles.events["value"] == "time"
    with pytest.raises(RoleError, match="no role 'usr'; roles are user, item"):
        profile(log, overrides={"usr": "user_id"})
    with pytest.raises(ReadError, match="no column 'user_idd'; did you mean 'user_id'"):
        profile(log, overrides={"user": "user_idd"})
    with pytest.raises(RoleError, match="no items file"):
        profile(log, overrides={"item_id": "sku"})


def test_a_catalogue_that_shares_no_id_is_an_error(tmp_path: Path) -> None:
    strangers = ITEMS.select(code="Q" + pl.col("item_id"), title="title")
    with pytest.raises(RoleError, match=r"no column has the ids of 'item_id'.*--role item_id=COLUMN"):
        profile(written(tmp_path, EVENTS, "log.csv"), written(tmp_path, strangers, "items.csv"))


def test_a_file_without_a_header_is_named(tmp_path: Path) -> None:
    file = tmp_path / "u.tsv"
    file.write_text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t377\t1\t878887116\n")
    with pytest.raises(RoleError, match="first line looks like data"):
        profile(file)


def test_an_existing_file_is_overwritten_only_by_force(tmp_path: Path) -> None:
    log = written(tmp_path, EVENTS, "log.csv")
    (tmp_path / "shop.yaml").write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        write_config("shop", log, folder=tmp_path)
    assert (tmp_path / "shop.yaml").read_text() == "mine"
    assert settings(write_config("shop", log, folder=tmp_path, force=True))["name"] == "shop"


@pytest.mark.parametrize("name", ["", "../shop", "a shop", "-shop"])
def test_a_name_must_be_able_to_name_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        write_config(name, written(tmp_path, EVENTS, "log.csv"), folder=tmp_path)


def test_without_catalogue_there_is_no_text_and_the_blend_is_of_ids(tmp_path: Path) -> None:
    tree = settings(write_config("shop", written(tmp_path, EVENTS, "log.csv"), folder=tmp_path))
    assert "encoders" not in tree and "text" not in tree["data"]
    assert tree["rankers"]["blend"]["of"] == ["transitions", "ease", "ids"]


def test_events_that_say_no_are_left_out(tmp_path: Path) -> None:
    kinds = pl.Series("event", np.array(["view", "purchase", "impression", "remove_from_cart"])[np.arange(len(EVENTS)) % 4])
    tree = settings(write_config("shop", written(tmp_path, EVENTS.with_columns(kinds), "log.csv"), folder=tmp_path))
    assert set(tree["data"]["events"]) == {"view", "purchase"}


def test_zeros_and_ones_ask_for_the_ones(tmp_path: Path) -> None:
    clicks = EVENTS.select("user_id", "item_id", "time", clicked=pl.int_range(pl.len()) % 2)
    tree = settings(write_config("ads", written(tmp_path, clicks, "log.csv"), folder=tmp_path))
    assert tree["data"]["reader"]["columns"]["value"] == "clicked"
    assert tree["data"]["min_value"] == 1


def test_repeats_are_allowed_where_people_repeat(tmp_path: Path) -> None:
    eager = World(WorldConfig(users=100, items=30, repeats=True, events_per_user=30)).events()
    assert settings(write_config("food", written(tmp_path, eager, "log.csv"), folder=tmp_path))["data"]["repeats"] is True


@pytest.mark.parametrize(
    ("time", "use", "reason"),
    [
        (pl.col("time"), "global_time", "a real clock over 35"),
        (pl.col("time") // 86_400 * 86_400, "leave_last_out", "the day only"),
        (1.7e9 + (pl.col("time") - 1.7e9) / 40, "leave_last_out", "days are short"),
        (1.7e9 + pl.col("user_id").cast(pl.Int64) * 100_000 + pl.col("time") % 1000, "leave_last_out", "are active early and late"),
        (pl.when(pl.int_range(pl.len()) > 9).then("time"), "leave_last_out", "a time in every row"),
        (pl.lit(None, pl.Float64), "leave_last_out", "no clock"),
    ],
)
def test_the_split_follows_the_clock(tmp_path: Path, time: pl.Expr, use: str, reason: str) -> None:
    log = EVENTS.with_columns(time=time).drop("session_id")
    file = write_config("shop", written(tmp_path, log, "log.csv"), folder=tmp_path)
    assert settings(file)["data"]["split"] == {"use": use}
    assert reason in line(file, "split:")


def test_a_number_that_orders_events_stands_for_a_missing_clock(tmp_path: Path) -> None:
    log = EVENTS.select("user_id", "item_id", order=pl.int_range(pl.len()).over("user_id"), timestamp=pl.lit(None, pl.Int64))
    file = write_config("shop", written(tmp_path, log, "log.parquet"), folder=tmp_path)
    reader = settings(file)["data"]["reader"]
    assert reader["order"] == "order" and "time" not in reader["columns"]
    assert "by order" in line(file, "split:")
    assert profile(tmp_path / "log.parquet", overrides={"order": "none"}).roles.order is None
    holes = written(tmp_path, log.with_columns(order=pl.when(pl.int_range(pl.len()) % 5 > 0).then("order")), "holes.parquet")
    assert profile(holes).roles.order is None
    timed = written(tmp_path, EVENTS.with_columns(nth=pl.int_range(pl.len())), "timed.csv")
    roles = profile(timed, overrides={"order": "nth"}).roles
    assert roles.order == "nth" and "time" not in roles.events


def test_a_clock_with_holes_is_not_used_but_mentioned(tmp_path: Path) -> None:
    log = EVENTS.with_columns(time=pl.when(pl.int_range(pl.len()) % 5 == 0).then("time"))
    file = write_config("shop", written(tmp_path, log, "log.csv"), folder=tmp_path)
    assert "time" not in settings(file)["data"]["reader"]["columns"]
    assert "80 % empty; rows without a time would be rejected" in line(file, "# time: time")
    assert profile(tmp_path / "log.csv", overrides={"time": "time"}).roles.events["time"] == "time"


def test_awkward_names_survive_yaml(tmp_path: Path) -> None:
    log = EVENTS.select(pl.col("user_id").alias("user: id #1"), pl.col("item_id").alias("yes"))
    events = written(tmp_path, log, "log of 'May'.csv")
    file = write_config("007", events, overrides={"user": "user: id #1", "item": "yes"}, folder=tmp_path)
    tree = settings(file)
    assert tree["name"] == "007"
    assert tree["data"]["reader"]["columns"] == {"user": "user: id #1", "item": "yes"}
    assert tree["data"]["reader"]["events"] == "log of 'May'.csv"


def test_a_large_file_is_sampled_from_all_of_it(tmp_path: Path) -> None:
    n = 1_300_000
    rows = np.arange(n)
    file = tmp_path / "large.parquet"
    pl.DataFrame({"user_id": rows // 100, "item_id": rows % 977, "time": 1_700_000_000 + rows}).write_parquet(file)
    sample = look(file)
    assert sample.rows == n and sample.complete and not sample.whole
    assert len(sample.head) <= KEPT_ROWS + 200_000 and len(sample.spread) <= KEPT_ROWS
    last = sample.spread["time"].max()
    assert isinstance(last, int)
    assert last > 1_700_000_000 + n - 10
    assert sample.spread["time"].diff().drop_nulls().n_unique() == 1  # evenly spread


def test_ids_beyond_the_sample_of_a_large_catalogue_are_found(tmp_path: Path) -> None:
    codes = [f"i{row}" for row in range(600_000)]
    items = written(tmp_path, pl.DataFrame({"item_id": codes}), "items.parquet")
    log = pl.DataFrame({"user_id": ["a", "b"] * 500, "item_id": [*codes[1:1000], "unknown"]})
    assert profile(written(tmp_path, log, "log.csv"), items).roles.item_match == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([None, "", "nan"], "empty"),
        (["2024-01-02", "2024-01-03"], "time"),
        (["1", "2.5"], "number"),
        (["001", "002"], "code"),
        (["red", "blue"] * 20, "category"),
        (["action|drama", "drama|comedy", "comedy|action"] * 20, "tags"),
        ([["a", "b"], ["c"]], "tags"),
        ([f"A story of {i} friends" for i in range(40)], "text"),
        ([f"恩呢不客气哦亲{chr(0x4E00 + i)}" for i in range(40)], "text"),
        ([f"img/{i}.jpg" for i in range(40)], "image"),
        ([f"https://x.org/{i}" for i in range(40)], "link"),
    ],
)
def test_the_kind_of_a_column_is_told_by_its_cells(cells: list[Any], kind: str) -> None:
    assert Column.of(pl.Series("x", cells)).kind == kind


def test_names_are_compared_in_one_spelling() -> None:
    assert {simple(name) for name in ("unixReviewTime", "Unix Review-Time", "unix_review_time:float")} == {"unix_review_time"}
    assert simple("CustomerID") == "customer_id"
