"""Rejected rows: every one counted and named, and the error when nothing is left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

from genre.data.readers import REJECTED

CONTENT_CHARS = 500
"""Content is cut to so many characters."""
CONTENT_ROWS = 100_000
"""Content is kept of so many rows; later ones are named by file, row and reason alone, so that memory stays bounded."""
CHUNK = 10_000


class ReadError(ValueError):
    """A source that cannot be read as asked; the message names the file and the fix."""


class NothingRead(ReadError):
    """There are columns but no rows."""


class Rejections:
    """Collects the rows left out, of all files of one reader."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._single: list[tuple[str, int, str, str | None]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, file: Path, row: int, reason: str, content: str) -> None:
        """One row; `row` counts from 1, after a header."""
        kept = content[:CONTENT_CHARS] if self._count < CONTENT_ROWS else None
        self._single.append((str(file), row, reason, kept))
        self._count += 1
        if len(self._single) == CHUNK:
            self._flush()

    def add_rows(self, file: Path, rows: pl.DataFrame) -> None:
        """Many rows: a frame with `row`, `reason` and `content`."""
        if rows.is_empty():
            return
        self._flush()
        room = max(0, CONTENT_ROWS - self._count)
        content = pl.when(pl.int_range(pl.len()) < room).then(pl.col("content").str.slice(0, CONTENT_CHARS))
        self._frames.append(rows.select(pl.lit(str(file)).alias("file"), "row", "reason", content.alias("content")).cast(REJECTED))  # type: ignore[arg-type]
        self._count += len(rows)

    def frame(self) -> pl.DataFrame:
        """All of them, by file and row."""
        self._flush()
        return pl.concat([pl.DataFrame(schema=REJECTED), *self._frames]).sort("file", "row", maintain_order=True)

    def check_rows_left(self, kept: int, path: Path) -> None:
        """Something must be left of a file.

        Raises:
            ReadError: every row was rejected; the message says why, most frequent reason first.
        """
        if kept == 0:
            of_file = self.frame().filter(pl.col("file").str.starts_with(str(path)))
            reasons = Counter(of_file["reason"].to_list()).most_common(3)
            told = "; ".join(f"{count:,} x {reason}" for reason, count in reasons)
            first = of_file.row(0, named=True)
            raise ReadError(f"{path}: all {len(of_file):,} rows were rejected: {told}. Row {first['row']} is {first['content']!r}")

    def _flush(self) -> None:
        if self._single:
            self._frames.append(pl.DataFrame(self._single, schema=REJECTED, orient="row"))
            self._single = []
