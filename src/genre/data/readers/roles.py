"""Columns by role: rows of anybody's file to rows of the events table, or to rejected rows with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genre.data.readers import EVENTS
from genre.data.readers.delimited import ROW
from genre.data.readers.rejection import Rejections
from genre.data.readers.values import ids, numbers, text, unix_seconds

ORDER = "order"
"""The extra column of the stored events where only the order within a user is known."""

TIME_EXPECTED = "neither unix seconds nor an ISO date: set data.reader.time_format, such as '%d.%m.%Y %H:%M'"


@dataclass(frozen=True)
class Roles:
    """Which column says what.

    Attributes:
        order: a number that orders a user's events where there is no clock; then `time` is None.
        event_type: of rows without an `event`.
        time_format: see `values.unix_seconds`.
    """

    user: str
    item: str
    time: str | None = None
    event: str | None = None
    value: str | None = None
    session: str | None = None
    order: str | None = None
    event_type: str = "click"
    time_format: str = "auto"

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        named = (self.user, self.item, self.time, self.event, self.value, self.session, self.order)
        return list(dict.fromkeys(name for name in named if name is not None))


def events(file: Path, rows: pl.DataFrame, roles: Roles, rejections: Rejections) -> pl.DataFrame:
    """The events of a frame of rows, and the bad rows rejected: a blank user, item, time or order, or an unreadable time, value or order.

    A blank value, session or event is no fault: the first two become null, the last the default type.
    """
    user, item = ids(rows[roles.user]), ids(rows[roles.item])
    nothing = pl.repeat(None, len(rows), dtype=pl.Float64, eager=True)
    time = nothing if roles.time is None else unix_seconds(rows[roles.time], roles.time_format)
    value = nothing if roles.value is None else numbers(rows[roles.value])
    order = nothing if roles.order is None else numbers(rows[roles.order])
    kind = pl.Series([None], dtype=pl.String).new_from_index(0, len(rows)) if roles.event is None else ids(rows[roles.event])
    session = pl.Series([None], dtype=pl.String).new_from_index(0, len(rows)) if roles.session is None else ids(rows[roles.session])

    faults: list[tuple[pl.Series, str]] = [
        (user.is_null(), f"{roles.user} (the user) is blank"),
        (item.is_null(), f"{roles.item} (the item) is blank"),
        (_torn(user), f"{roles.user} (the user) holds a line break or a NUL: a quote that never closes?"),
        (_torn(item), f"{roles.item} (the item) holds a line break or a NUL: a quote that never closes?"),
    ]
    if roles.time is not None:
        expected = TIME_EXPECTED if roles.time_format == "auto" else f"not {roles.time_format} (data.reader.time_format)"
        faults.append((time.is_null(), f"{roles.time} (the time) is blank or {expected}"))
    if roles.order is not None:
        faults.append((order.is_null(), f"{roles.order} (the order) is not a number"))
    if roles.value is not None:
        faults.append((value.is_null() & _written(rows[roles.value]), f"{roles.value} (the value) is not a number"))
    keep = reject(file, rows, faults, rejections)
    found = pl.DataFrame({
        "user_id": user, "item_id": item, "time": time, "event": kind.fill_null(roles.event_type), "value": value, "session_id": session,
    }, schema=EVENTS)  # fmt: skip
    return (found if roles.order is None else found.with_columns(order.alias(ORDER))).filter(keep)


def reject(file: Path, rows: pl.DataFrame, faults: list[tuple[pl.Series, str]], rejections: Rejections) -> pl.Series:
    """Reject the rows that have a fault, each by its first one, and tell which rows to keep."""
    bad = pl.Series([False]).new_from_index(0, len(rows))
    reason = pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))
    for where, why in faults:
        where = where.fill_null(False)
        if where.any():
            reason = pl.Series([why]).new_from_index(0, len(rows)).zip_with(where & ~bad, reason)
            bad = bad | where
    if bad.any():
        # Only now, of the few bad rows, what stands there. A line with nothing on it shall be called that.
        left_out = rows.with_columns(reason.alias("__reason")).filter(bad)
        content = pl.struct(pl.exclude(ROW, "__reason")).struct.json_encode()
        empty = pl.all_horizontal(pl.exclude(ROW, "__reason").cast(pl.String).fill_null("") == "") if _plain(rows) else pl.lit(False)
        told = pl.when(empty).then(pl.lit("blank line")).otherwise("__reason")
        rejections.add_rows(file, left_out.select(pl.col(ROW).alias("row"), told.alias("reason"), content.alias("content")))
    return ~bad


def _plain(rows: pl.DataFrame) -> bool:
    return all(dtype == pl.String for name, dtype in rows.schema.items() if name != ROW)


def _torn(column: pl.Series) -> pl.Series:
    return column.str.contains("[\n\r\x00]")


def _written(column: pl.Series) -> pl.Series:
    """Where something stands that a person would not call blank."""
    if column.dtype == pl.String:
        return text(column).is_not_null()
    return column.is_not_null() & ~column.is_nan() if column.dtype.is_float() else column.is_not_null()
