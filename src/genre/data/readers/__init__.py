"""Readers: somebody's files to tables with standard column names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import polars as pl

from genre.component import Component

REJECTED = {"file": pl.String, "row": pl.Int64, "reason": pl.String, "content": pl.String}
EVENTS = {
    "user_id": pl.String, "item_id": pl.String, "time": pl.Float64, "event": pl.String, "value": pl.Float64, "session_id": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """What a reader gives, each table scanned lazily so that it may be larger than memory.

    Attributes:
        events: `user_id`, `item_id` (strings, never null), `time` (float64 unix seconds, null without a clock), `event` (string),
            `value` (float64, null where there is none), `session_id` (string, null where there is none). In file order.
        items: `item_id`, then every other column of the file under its own name; None if there is no such file.
        users: the same with `user_id`.
        impressions: `request_id`, `user_id`, `time`, `item_id`, `position`, `clicked`, and any others: numbers are labels of what came of
            an entry (`purchase`, `dwell`), texts the context of the request (`device`); None where nothing was logged.
        rejected: rows left out: `file`, `row` (1 is the first line after a header), `reason`, `content`.
    """

    events: pl.LazyFrame
    items: pl.LazyFrame | None = None
    users: pl.LazyFrame | None = None
    impressions: pl.LazyFrame | None = None
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED))


class Reader(Component):
    """One kind of source."""

    kind = "reader"
    builtins: ClassVar[dict[str, str]] = {
        "files": "genre.data.readers.files:FilesReader",
        "movielens_100k": "genre.data.readers.movielens:MovieLens100KReader",
        "amazon": "genre.data.readers.amazon:AmazonReader",
        "mind": "genre.data.readers.mind:MindReader",
        "event_log": "genre.data.readers.event_log:EventLogReader",
        "synthetic": "genre.data.readers.synthetic:SyntheticReader",
    }

    @abstractmethod
    def read(self, folder: Path) -> Tables:
        """Read everything; `folder` is for intermediate files that the returned tables may scan."""

    @abstractmethod
    def sources(self) -> Iterator[Path]:
        """The files read, so that a changed file makes the run stale."""
