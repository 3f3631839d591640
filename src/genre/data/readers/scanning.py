"""One way through any file: frames of its rows, in bounded memory, whatever the format; broken rows rejected by number."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genre.data.readers.delimited import ROW, delimited, header
from genre.data.readers.formats import format_of, parts
from genre.data.readers.jsonl import LINES, jsonl, records
from genre.data.readers.rejection import NothingRead, ReadError, Rejections

PARQUET_ROWS = 1 << 17


def scan(
    path: Path,
    rejections: Rejections,
    columns: Sequence[str] | None = None,
    plain: Sequence[str] = (),
    separator: str | None = None,
    quotes: bool = True,
) -> Iterator[tuple[Path, pl.DataFrame]]:
    """Frames with the columns of the file and ROW, each with the file it comes from (a folder is read part by part).

    Text formats give text; Parquet gives its own types.

    Args:
        columns: those wanted, in this order; None takes all.
        plain: columns that must be there and hold text, numbers or times, not lists.

    Raises:
        ReadError: a wanted column is missing, or there are no rows at all, or the file is not what its name says.
    """
    wanted = list(dict.fromkeys([*(columns or ()), *plain]))
    chosen = None if columns is None else wanted
    rows, before = 0, len(rejections)
    for part in parts(path):
        require(wanted, columns_of(part, separator, quotes), part)
        kind = format_of(part)
        if kind == "delimited":
            frames = delimited(part, rejections, chosen, separator, quotes)
        elif kind == "jsonl":
            frames = jsonl(part, rejections, chosen, plain)
        else:
            frames = _parquet(part, chosen, plain)
        for frame in frames:
            rows += len(frame)
            yield part, frame
    if rows == 0 and len(rejections) == before:
        raise NothingRead(f"{path}: there are columns but no rows")


def sample(path: Path, n: int = 10_000, separator: str | None = None, quotes: bool = True) -> pl.DataFrame:
    """The first good rows, for a look at a stranger's file; text formats give text."""
    frames: list[pl.DataFrame] = []
    for _, frame in scan(path, Rejections(), separator=separator, quotes=quotes):
        frames.append(frame)
        if sum(map(len, frames)) >= n:
            break
    return pl.concat(frames, how="diagonal_relaxed").head(n).drop(ROW) if frames else pl.DataFrame()


def columns_of(path: Path, separator: str | None = None, quotes: bool = True) -> list[str]:
    """The columns of a file, or of a folder's first part; of JSON lines, the keys of the first twenty thousand lines."""
    path = parts(path)[0]
    kind = format_of(path)
    if kind == "delimited":
        return header(path, separator, quotes)[0]
    if kind == "jsonl":
        return list(dict.fromkeys(name for _, record in islice(records(path, Rejections()), LINES) for name in record))
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def require(wanted: Iterable[str], there: Sequence[str], path: Path) -> None:
    """Columns that are needed.

    Raises:
        ReadError: one is missing; the message names the closest and lists those there are.
    """
    missing = [name for name in wanted if name not in there]
    if missing and there:
        folded = {name.casefold(): name for name in there}
        near = difflib.get_close_matches(missing[0].casefold(), folded, 1)
        hint = f"; did you mean {folded[near[0]]!r}?" if near else "."
        raise ReadError(f"{path}: there is no column {', '.join(map(repr, missing))}{hint} Its columns: {', '.join(map(repr, there))}")


def _opened(path: Path) -> pq.ParquetFile:
    if path.stat().st_size == 0:
        raise ReadError(f"{path}: the file is empty")
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ReadError(f"{path}: this is no Parquet file ({error}); give it the name of what it is, or export it again") from error


def _parquet(path: Path, columns: Sequence[str] | None, plain: Sequence[str]) -> Iterator[pl.DataFrame]:
    row = 1
    with _opened(path) as file:
        for name in plain:
            kind = file.schema_arrow.field(name).type
            if pa.types.is_nested(kind):
                raise ReadError(f"{path}: the column {name!r} holds {kind}; it must hold text, numbers or times")
        try:
            for batch in file.iter_batches(PARQUET_ROWS, columns=None if columns is None else list(columns), use_threads=False):
                frame = pl.DataFrame(pl.from_arrow(batch))
                yield frame.with_columns(pl.Series(ROW, range(row, row + len(frame)), pl.Int64))
                row += len(frame)
        except (OSError, pa.ArrowInvalid) as error:
            raise ReadError(f"{path}: broken from row {row} on ({error}); export or copy it again") from error
