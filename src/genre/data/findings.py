"""What a check says, and the compact log that all checks read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import polars as pl

Severity = Literal["error", "warning", "note"]

EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know about their data.

    Attributes:
        severity: error: figures would be wrong or training fails; warning: they may mislead; note: good to know.
        name: of the check, `duplicate_rows`.
        what: one sentence with the figures in it.
        count: how many rows, users or items are concerned, `share` of how many.
        examples: ids of a few of them.
        advice: what to do about it.
    """

    severity: Severity
    name: str
    what: str
    count: int
    share: float
    examples: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class Log:
    """The interactions with numbers instead of ids: twenty bytes a row and a hash, where strings would take a hundred.

    Attributes:
        events: `user`, `item` (codes), `time`, `value`, `row` (a hash of the whole row), in file order. Item codes ascend with the id.
        user_ids: the id behind each user code; item_ids: the same for items.
        items: `item_id`, `text` and the other columns of the catalogue, or None.
        now: unix seconds.
    """

    events: pl.DataFrame
    user_ids: pl.Series
    item_ids: pl.Series
    items: pl.DataFrame | None
    now: float

    @classmethod
    def of(cls, interactions: pl.DataFrame | pl.LazyFrame, items: pl.DataFrame | None, now: float) -> Log:
        """Read the interactions once, without holding their strings."""
        rows = interactions.lazy()
        users = rows.select(pl.col("user_id").unique()).collect(engine="streaming").sort("user_id")
        named = rows.select(pl.col("item_id").unique()).collect(engine="streaming")
        # "9" comes before "10" where all ids are whole numbers; otherwise the order is that of the characters.
        number = pl.col("item_id").cast(pl.Int64, strict=False)
        named = named.sort(number, "item_id") if named.select(number.is_not_null().all()).item() else named.sort("item_id")
        events = (
            rows.with_columns(row=pl.struct(pl.all()).hash())
            .join(users.lazy().with_row_index("user"), on="user_id", how="left", maintain_order="left")
            .join(named.lazy().with_row_index("item"), on="item_id", how="left", maintain_order="left")
            .select("user", "item", "time", pl.col("value").cast(pl.Float32), "row")
            .collect(engine="streaming")
        )
        return cls(events, users["user_id"], named["item_id"], items, now)

    @cached_property
    def clock(self) -> pl.Series:
        """The times there are."""
        return self.events["time"].drop_nulls()

    def users(self, codes: Iterable[int]) -> tuple[str, ...]:
        """A few user ids."""
        return tuple(self.user_ids[code] for code in list(codes)[:EXAMPLES])

    def item_names(self, codes: Iterable[int]) -> tuple[str, ...]:
        """A few item ids."""
        return tuple(self.item_ids[code] for code in list(codes)[:EXAMPLES])


def several(count: int, one: str, many: str) -> str:
    """A count and its noun: 1 row repeats, 1,200 rows repeat."""
    return f"{count:,} {one if count == 1 else many}"


def of_all(count: int, total: int, what: str, one: str, many: str) -> str:
    """A count among all, its share and its verb: 1 of 50 users (2 %) has, 3 of 50 users (6 %) have."""
    return f"{count:,} of {total:,} {what} ({percent(count / total)}) {one if count == 1 else many}"


def percent(share: float) -> str:
    """A share in words: 0.3 %, 12 %."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
