"""Intermediate Parquet: what a reader has read, written as it comes and scanned lazily afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import polars as pl
import pyarrow.parquet as pq

from genre.data.readers.delimited import ROW
from genre.data.readers.rejection import ReadError, Rejections
from genre.data.readers.roles import reject
from genre.data.readers.values import BLANK, ids

WHOLE = r"^-?(0|[1-9]\d{0,17})$"
NUMBER = r"^-?(0|[1-9]\d{0,17})(\.\d+)?([eE][+-]?\d+)?$"


class Store:
    """One table of a fixed schema, appended frame by frame; a row group a frame, so memory does not grow with it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, frame: pl.DataFrame) -> None:
        """Append; every frame has the columns of the first."""
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd", compression_level=1)
        if len(frame):
            self._writer.write_table(table, row_group_size=max(1, len(frame)))
        self.rows += len(frame)

    def scan(self) -> pl.LazyFrame:
        """What was written, once the store is closed."""
        return pl.scan_parquet(self._file)


def store_table(
    frames: Iterable[tuple[Path, pl.DataFrame]], key: str, new_key: str, folder: Path, rejections: Rejections, typed: bool = True
) -> pl.LazyFrame:
    """Items or users: the key as text under its standard name, the first row of a key kept, every other column as it is.

    Args:
        typed: turn text columns that hold nothing but numbers into numbers.

    Raises:
        ReadError: no row is left, or the table has two columns for the key.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seen = pl.Series(new_key, [], pl.String)
    parts: list[Path] = []
    source = folder
    for source, rows in frames:
        if key != new_key and new_key in rows.columns:
            raise ReadError(f"{source}: {key!r} is named as the id, but there is also a column {new_key!r}; rename or drop one of them")
        named = ids(rows[key]).alias(new_key)
        again = named.is_in(seen.implode()) | ~named.is_first_distinct()
        faults = [(named.is_null(), f"{key} is blank"), (again, f"{key} was there before; the first row is kept")]
        kept = rows.with_columns(named.alias(key)).filter(reject(source, rows, faults, rejections))
        if len(kept):
            parts.append(folder / f"{len(parts):06d}.parquet")
            kept.rename({key: new_key}).select(new_key, pl.exclude(new_key, ROW)).write_parquet(parts[-1])
            seen = pl.concat([seen, kept[key].alias(new_key)])
    rejections.check_rows_left(len(seen), source)
    table = pl.concat(aligned([pl.scan_parquet(part) for part in parts]), how="diagonal_relaxed")
    return with_types(table, [new_key]) if typed else table


def aligned(parts: list[pl.LazyFrame]) -> list[pl.LazyFrame]:
    """A column that is a list in some parts only becomes text in all."""
    schemas = [part.collect_schema() for part in parts]
    lists = {name for schema in schemas for name, dtype in schema.items() if dtype == pl.List}
    mixed = {name for name in lists if any(name in schema and schema[name] != pl.List for schema in schemas)}
    return [
        part.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join(", ") for name in sorted(mixed) if schema.get(name) == pl.List)
        for part, schema in zip(parts, schemas, strict=True)
    ]


def with_types(table: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Text columns but the keys as numbers, where they hold nothing else."""
    # A column is a number only if no text would be lost by it: a zip code with a leading zero keeps the whole column text.
    names = [name for name, dtype in table.collect_schema().items() if dtype == pl.String and name not in keys]
    if not names:
        return table
    filled = {name: pl.when(~pl.col(name).str.strip_chars().is_in(BLANK)).then(pl.col(name)) for name in names}
    tests = [
        test.alias(f"{kind} {at}")
        for at, name in enumerate(names)
        for kind, test in (
            ("any", filled[name].is_not_null().any()),
            ("whole", filled[name].str.contains(WHOLE).all()),
            ("number", filled[name].str.contains(NUMBER).all()),
        )
    ]
    found = table.select(tests).collect(engine="streaming").row(0, named=True)
    changes = []
    for at, name in enumerate(names):
        if found[f"any {at}"] and found[f"number {at}"]:
            changes.append(filled[name].cast(pl.Int64 if found[f"whole {at}"] else pl.Float64).alias(name))
        else:
            changes.append(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name))
    return table.with_columns(changes)
