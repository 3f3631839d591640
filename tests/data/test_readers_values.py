from __future__ import annotations

import datetime
import decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre.data.readers.values import check_time_format, ids, numbers, unit, unix_seconds

NEW_YEAR = 1_577_836_800.0  # 2020-01-01 00:00:00 UTC


@pytest.mark.parametrize(
    "written",
    [
        "1577836800", "1577836800000", "1577836800000000", "1577836800000000000", "1577836800.0", " 1577836800 ", "2020-01-01",
        "2020/01/01", "20200101", "2020-01-01 00:00", "2020-01-01T00:00:00", "2020-01-01T00:00:00Z", "2020-01-01 00:00:00.000 UTC",
        "2020-01-01T01:00:00+01:00", "2020-01-01 01:00:00 +0100", "2019-12-31T19:00:00-05",
    ],
)  # fmt: skip
def test_any_usual_spelling_of_a_moment_is_that_moment(written: str) -> None:
    assert unix_seconds(pl.Series([written])).to_list() == [NEW_YEAR]


@pytest.mark.parametrize("written", ["", "yesterday", "2020-13-01", "01/02/2020", "nan", "inf", "9" * 30, None])
def test_what_is_no_time_is_null(written: str | None) -> None:
    assert unix_seconds(pl.Series([written], dtype=pl.String)).to_list() == [None]


def test_spellings_may_be_mixed_in_one_column() -> None:
    mixed = pl.Series(["2020-01-01", "1577836800", "?", "2020-01-01T01:00:00+01:00"])
    assert unix_seconds(mixed).to_list() == [NEW_YEAR, NEW_YEAR, None, NEW_YEAR]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([datetime.date(2020, 1, 1)]),
        pl.Series([datetime.datetime(2020, 1, 1)]),
        pl.Series([datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)]).dt.convert_time_zone("Asia/Tokyo"),
        pl.Series([1_577_836_800]),
        pl.Series([1_577_836_800_000]),
        pl.Series([20200101]),
    ],
    ids=["date", "naive", "zoned", "seconds", "milliseconds", "yyyymmdd"],
)
def test_typed_times(column: pl.Series) -> None:
    assert unix_seconds(column).to_list() == [NEW_YEAR]


def test_format_as_told() -> None:
    assert unix_seconds(pl.Series(["1/1/2020 12:00:00 AM", "1/1/2020 1:00:00 PM"]), "%m/%d/%Y %I:%M:%S %p").to_list() == [
        NEW_YEAR,
        NEW_YEAR + 13 * 3600,
    ]
    assert unix_seconds(pl.Series(["1577836800000"]), "unix").to_list() == [1_577_836_800_000.0]
    assert unix_seconds(pl.Series(["5000"]), "unix_ms").to_list() == [5.0]
    assert unix_seconds(pl.Series(["1577836800", "2020-01-01"]), "iso").to_list() == [None, NEW_YEAR]


@pytest.mark.parametrize("wrong", ["isoo", "%H:%M", "%Q"])
def test_time_format_is_checked(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"{wrong!r} is no time format: use auto, unix, unix_ms, iso or a strptime format"):
        check_time_format(wrong)


def test_unit_in_words() -> None:
    assert unit(pl.Series(["1577836800000"])) == "milliseconds"
    assert unit(pl.Series([1_577_836_800])) == "seconds"
    assert unit(pl.Series(["2020-01-01"])) == "dates"


def test_ids_are_exact_text() -> None:
    assert ids(pl.Series(["0110912", " a", "", "  ", "nan", "None", None])).to_list() == ["0110912", " a", None, None, None, None, None]
    assert ids(pl.Series([12.0, 12.5, float("nan"), None, float("inf")])).to_list() == ["12", "12.5", None, None, None]
    assert ids(pl.Series([2**63 - 1, None])).to_list() == ["9223372036854775807", None]
    assert ids(pl.Series([decimal.Decimal("12.00")])).to_list() == ["12"]
    assert ids(pl.Series([b"ab", b"\xff", None])).to_list() == ["ab", None, None]
    assert ids(pl.Series(["a", "b"], dtype=pl.Categorical)).to_list() == ["a", "b"]


def test_numbers_are_finite() -> None:
    assert numbers(pl.Series([" 1.5", "-2", "1e3", "inf", "NaN", "four", "", None])).to_list() == [1.5, -2.0, 1000.0, *[None] * 5]


@given(st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2100, 1, 1), timezones=st.sampled_from([datetime.UTC])))
def test_iso_text_of_any_moment_is_that_moment(moment: datetime.datetime) -> None:
    for written in (moment.isoformat(), moment.replace(tzinfo=None).isoformat(" "), moment.isoformat().replace("+00:00", "Z")):
        assert unix_seconds(pl.Series([written]))[0] == pytest.approx(moment.timestamp(), abs=2e-6)


@given(st.integers(-(2**53), 2**53))
def test_whole_float_id_equals_the_integer_one(number: int) -> None:
    assert ids(pl.Series([float(number)])).to_list() == ids(pl.Series([number])).to_list()
