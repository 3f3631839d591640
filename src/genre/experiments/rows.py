"""Rows of a log, whatever its format: chunks with the unit as text and the time as seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from genre.data.readers.delimited import ROW
from genre.data.readers.rejection import Rejections
from genre.data.readers.scanning import scan
from genre.data.readers.values import ids, unix_seconds
from genre.experiments.definition import Logs


def rows(path: Path, logs: Logs, columns: Sequence[str], rejections: Rejections, lists: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
    """Chunks of a log with `unit` as text, `time` as unix seconds, the columns asked for and ROW; rows without unit or time are rejected.

    Args:
        lists: columns that may hold lists.

    Raises:
        ReadError: a column is missing; the message names the closest.
    """
    for part, frame in scan(path, rejections, lists, (logs.unit, logs.time, *columns)):
        unit, time = ids(frame[logs.unit]), unix_seconds(frame[logs.time])
        bad = unit.is_null() | time.is_null()
        if bad.any():
            reason = pl.when(unit.is_null()).then(pl.lit(f"no {logs.unit}")).otherwise(pl.lit(f"{logs.time} is not a time"))
            told = frame.select(
                pl.col(ROW).alias("row"),
                reason.alias("reason"),
                pl.concat_str(pl.col(logs.unit, logs.time).cast(pl.String), separator=" ", ignore_nulls=True).alias("content"),
            )
            rejections.add_rows(part, told.filter(bad))
        yield frame.with_columns(unit.alias("unit"), time.alias("time")).filter(~bad)
