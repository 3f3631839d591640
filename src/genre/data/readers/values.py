"""Cells to values: ids to exact text, numbers, and any usual way to write a time to unix seconds."""

from __future__ import annotations

import polars as pl

BLANK = ("", "nan", "NaN", "NAN", "null", "NULL", "None", "<NA>", "\\N")
"""Texts that other tools write where there is nothing."""
UNITS = {1e11: 1e3, 1e14: 1e6, 1e17: 1e9}
"""From which magnitude on a time is in milli-, micro- or nanoseconds, and how many of them are a second."""
YEAR_9999 = 253_402_300_800
DATE_NUMBERS = (19_000_101, 21_001_231)
"""Numbers that are calendar dates written without separators; as unix seconds they would all lie in 1970."""
NAIVE = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y%m%d")
ZONED = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
KEYWORDS = ("auto", "unix", "unix_ms", "iso")


def text(column: pl.Series) -> pl.Series:
    """Text as given, null where it is blank."""
    return column.set(column.str.strip_chars().is_in(BLANK), None)


def ids(column: pl.Series) -> pl.Series:
    """Ids as text: "0110912" keeps its zeros, 12 and 12.0 are "12", NaN and blank are null."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.floor()) & (column.abs() < 2**63)
        written = column.set(~column.is_finite(), None).cast(pl.String)
        return column.set(~whole, None).cast(pl.Int64).cast(pl.String).zip_with(whole.fill_null(False), written)
    if column.dtype == pl.Binary:
        column = pl.Series(column.name, [None if raw is None else _decoded(raw) for raw in column], pl.String)
    if column.dtype == pl.Decimal:
        column = column.cast(pl.String).str.replace(r"\.0*$", "")
    return text(column.cast(pl.String, strict=False))


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def numbers(column: pl.Series) -> pl.Series:
    """Finite numbers as float64; null where there is none."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    found = column.cast(pl.Float64, strict=False)
    return found.set(~found.is_finite(), None)


def unix_seconds(column: pl.Series, time_format: str = "auto") -> pl.Series:
    """Times as float64 unix seconds; null where the text is no time. A time without a zone is UTC.

    Args:
        time_format: `auto` takes numbers (the unit by their magnitude) and ISO dates; `unix` and `unix_ms` take numbers of that unit; `iso`
            takes ISO dates; anything with a % is a strptime format.
    """
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return column.cast(pl.Datetime("us", getattr(column.dtype, "time_zone", None))).dt.timestamp("us") / 1e6
    written = column.cast(pl.String, strict=False).str.strip_chars()
    if time_format not in KEYWORDS:
        return _parsed(written, (time_format,))
    if time_format == "iso":
        return _iso(written)
    found = numbers(column)
    if time_format == "unix":
        return found
    if time_format == "unix_ms":
        return found / 1e3
    dates = found.is_between(*DATE_NUMBERS).fill_null(False) & (found == found.floor()).fill_null(False)
    if dates.any():
        as_date = _iso(found.set(~dates, None).cast(pl.Int64).cast(pl.String))
        found = as_date.zip_with(as_date.is_not_null(), found)
    raw = found
    for magnitude, per_second in UNITS.items():
        found = (raw / per_second).zip_with((raw.abs() >= magnitude).fill_null(False), found)
    found = found.set(found.abs() > YEAR_9999, None)
    return found if found.null_count() == 0 else found.zip_with(found.is_not_null(), _iso(written.set(found.is_not_null(), None)))


def check_time_format(time_format: str) -> str:
    """The format itself.

    Raises:
        ValueError: it is neither a keyword nor a strptime format that says the day.
    """
    if time_format in KEYWORDS:
        return time_format
    moment = pl.Series(["2001-02-03 04:05:06+00:00"]).str.to_datetime("%Y-%m-%d %H:%M:%S%#z")
    try:
        again = _parsed(moment.dt.strftime(time_format), (time_format,))[0] if "%" in time_format else None
    except pl.exceptions.PolarsError:
        again = None
    if again is None or abs(again - float(moment.dt.epoch("s")[0])) > 86_400:
        raise ValueError(f"{time_format!r} is no time format: use {', '.join(KEYWORDS)} or a strptime format such as '%d/%m/%Y %H:%M'")
    return time_format


def unit(column: pl.Series) -> str:
    """What `auto` takes the times of a column to be, in words."""
    found = numbers(column) if not column.dtype.is_temporal() else column.clear().cast(pl.Float64)
    if found.null_count() == len(found):
        return "dates"
    typical = abs(float(found.drop_nulls().median() or 0))  # type: ignore[arg-type]
    names = {1e9: "nanoseconds", 1e6: "microseconds", 1e3: "milliseconds"}
    return next((names[per_second] for magnitude, per_second in reversed(UNITS.items()) if typical >= magnitude), "seconds")


def _iso(written: pl.Series) -> pl.Series:
    # One spelling for the many: a blank between date and time, no blank before the zone, +00:00 for Z.
    written = (
        written.str.replace(r"^(\d{4})/(\d{1,2})/(\d{1,2})", "$1-$2-$3")
        .str.replace(r"^(\d{4}-\d{1,2}-\d{1,2})[Tt]", "$1 ")
        .str.replace(r"\s*(?:[Zz]|UTC|GMT)$", "+00:00")
        .str.replace(r"(:\d{2}(?:\.\d+)?)\s+([+-]\d{2}:?(?:\d{2})?)$", "$1$2")
    )
    zoned = written.str.contains(r"\d:\d{2}.*[+-]\d{2}(:?\d{2})?$").fill_null(False)
    found = _parsed(written.set(zoned, None), NAIVE)
    return _parsed(written.set(~zoned, None), ZONED).zip_with(zoned, found) if zoned.any() else found


def _parsed(written: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Unix seconds by the first format that fits each text."""
    found = pl.Series(written.name, [None] * len(written), pl.Float64)
    for form in formats:
        missing = found.is_null() & written.is_not_null()
        if not missing.any():
            break
        times = written.set(~missing, None).str.to_datetime(form, time_unit="us", strict=False)
        found = (times.dt.timestamp("us") / 1e6).zip_with(missing, found)
    return found
