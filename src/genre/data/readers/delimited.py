"""CSV and its kin, in bounded memory: every field as text, every broken line named by its row."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from genre.data.readers.encoding import MARK, Utf8Stream, open_bytes
from genre.data.readers.rejection import ReadError, Rejections

log = logging.getLogger(__name__)

ROW = "__row"
"""The column that numbers rows from 1, after the header."""
BLOCK = 4 << 20
SEPARATORS = ",\t;|"
UNCLOSED = "a double quote that never closes? If quotes are just characters here, set `quotes: false`"
TORN = 1_000
"""A broken row of more lines than this is the rest of the file behind a quote that never closes: an error, not one bad row."""


def header(path: Path, separator: str | None = None, quotes: bool = True) -> tuple[list[str], str]:
    """Column names, and the separator: as given, or the tab of .tsv, or whichever of , tab ; | cuts the header into most fields.

    Raises:
        ReadError: a name occurs twice or is blank, or the file is JSON.
    """
    with open_bytes(path) as file:
        lines = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        first = next(line for line in lines if line.strip())
        lines.detach()
    if first.lstrip().startswith("{"):
        raise ReadError(f"{path}: this looks like JSON lines; let its name end in .jsonl")
    if separator is None:
        separator = "\t" if ".tsv" in path.suffixes else max(SEPARATORS, key=lambda mark: len(_fields(first, mark, quotes)))
    names = _fields(first, separator, quotes)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReadError(f"{path}: the header names {', '.join(map(repr, twice))} more than once; give every column its own name")
    return names, separator


def _fields(line: str, separator: str, quotes: bool) -> list[str]:
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    return next(csv.reader([line.rstrip("\r\n")], delimiter=separator, quoting=quoting))  # type: ignore[arg-type]


def first_lines(path: Path, n: int) -> list[str]:
    """The first lines as they stand."""
    with open_bytes(path) as file:
        return [line.decode("utf-8", "replace").rstrip("\r\n") for line in islice(file, n)]


def delimited(
    path: Path,
    rejections: Rejections,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    quotes: bool = True,
    names: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Frames of text columns and ROW. Lines with too few or too many fields, or with bytes that are not UTF-8, are rejected.

    Args:
        columns: those wanted; None takes all.
        quotes: double quotes enclose fields that hold separators or line breaks.
        names: of the columns, where the file has no header.

    Raises:
        ReadError: the file as a whole cannot be read; the message says from which row on.
    """
    found, separator = (list(names), separator or "\t") if names is not None else header(path, separator, quotes)
    offset = 0 if names is not None else 1
    broken: list[int] = []
    torn: list[int] = []

    def reject(line: pa.csv.InvalidRow) -> str:
        row = line.number - offset
        broken.append(row)
        reason = f"{line.actual_columns} fields where {'the header has' if offset else 'there should be'} {line.expected_columns}"
        rejections.add(path, row, reason if line.text.strip() else "blank line", line.text.replace(MARK, "�"))
        if line.text.count("\n") > TORN:
            torn.append(row)
        return "skip"

    with open_bytes(path) as file:
        stream = Utf8Stream(file)
        following = 1
        try:
            reader = pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=None if offset else found),
                pa.csv.ParseOptions(
                    delimiter=separator, quote_char='"' if quotes else False, double_quote=quotes, newlines_in_values=quotes,
                    ignore_empty_lines=False, invalid_row_handler=reject,
                ),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(found, pa.string()), strings_can_be_null=False, include_columns=list(columns or found)
                ),
            )  # fmt: skip
            for batch in reader:
                frame = pl.DataFrame(pl.from_arrow(batch))
                numbers, following = _row_numbers(len(frame), following, broken)
                frame = frame.with_columns(pl.Series(ROW, numbers, pl.Int64))
                yield _without_marks(path, frame, rejections) if stream.marked else frame
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return
            raise ReadError(_explain(path, str(error), following, quotes)) from error
        if torn:
            raise ReadError(f"{path}: row {torn[0]} goes on over more than {TORN:,} lines: {UNCLOSED}")
        if quotes and stream.quotes % 2:
            log.warning("%s: an odd number of double quotes, so lines may hide inside a field: %s", path, UNCLOSED)


def _row_numbers(n: int, following: int, broken: list[int]) -> tuple[np.ndarray, int]:
    """Numbers of the next n good rows: those from `following` on that are not broken. Forgets broken rows that lie behind."""
    candidates = np.arange(following, following + n + len(broken))
    numbers = candidates[~np.isin(candidates, broken)][:n]
    if n:
        following = int(numbers[-1]) + 1
        broken[:] = [row for row in broken if row >= following]
    return numbers, following


def _without_marks(path: Path, frame: pl.DataFrame, rejections: Rejections) -> pl.DataFrame:
    marked = pl.any_horizontal(pl.exclude(ROW).str.contains(MARK, literal=True))
    bad = frame.filter(marked)
    rejections.add_rows(
        path,
        bad.select(
            pl.col(ROW).alias("row"),
            pl.lit("bytes that are not UTF-8: save the file as UTF-8").alias("reason"),
            pl.concat_str(pl.exclude(ROW), separator=",").str.replace_all(MARK, "�", literal=True).alias("content"),
        ),
    )
    return frame.filter(~marked)


def _explain(path: Path, error: str, row: int, quotes: bool) -> str:
    if "straddling" in error or "out of sync" in error:
        cause = UNCLOSED if quotes else "where are the line ends?"
        return f"{path}: from row {row} on, more than {BLOCK >> 20} MB seem to be one line: {cause}"
    return f"{path}: cannot be parsed from row {row} on: {error}"
