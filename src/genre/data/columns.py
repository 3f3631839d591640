"""What a column of a stranger's file holds, judged by its cells; and a sample of the file in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

from genre.data.readers.delimited import ROW
from genre.data.readers.rejection import Rejections
from genre.data.readers.scanning import scan
from genre.data.readers.values import numbers, text, unix_seconds

Kind = Literal["empty", "time", "number", "code", "category", "tags", "text", "image", "link"]

KEPT_ROWS = 500_000
KEPT_BYTES = 128 << 20
READ_ROWS = 5_000_000
IMAGE = r"(?i)\.(jpe?g|png|webp|gif|bmp)(\?.*)?$"
PLAUSIBLE = (473_385_600.0, 4_102_444_800.0)
"""1985 to 2100: numbers within are times, if the column's name or all its cells say so."""
DAY_FIRST = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y")
MONTH_FIRST = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%m %d, %Y", "%b %d, %Y", "%m/%d/%y %H:%M")


@dataclass(frozen=True)
class Column:
    """One column and its sampled cells.

    Attributes:
        cells: as the file has them.
        texts: the same as text, null where they are blank.
    """

    name: str
    cells: pl.Series
    texts: pl.Series

    @classmethod
    def of(cls, cells: pl.Series) -> Column:
        """Lists become their entries with blanks between; structures become JSON."""
        if isinstance(cells.dtype, pl.List):
            texts = cells.list.eval(pl.element().cast(pl.String, strict=False)).list.join(" ")
        elif isinstance(cells.dtype, pl.Struct):
            texts = cells.struct.json_encode()
        else:
            texts = cells.cast(pl.String, strict=False)
        return cls(cells.name, cells, text(texts))

    @cached_property
    def empty(self) -> float:
        """Share of blank cells."""
        return self.texts.null_count() / max(len(self.texts), 1)

    @cached_property
    def there(self) -> pl.Series:
        """The texts that are not blank."""
        return self.texts.drop_nulls()

    @cached_property
    def distinct(self) -> int:
        """Different values in the sample."""
        return self.there.n_unique()

    @cached_property
    def chars(self) -> float:
        """Mean length of the cells that are not blank."""
        return _mean(self.there.str.len_chars())

    @cached_property
    def words(self) -> float:
        """Mean number of words."""
        return _mean(self.there.str.count_matches(r"\S+"))

    @cached_property
    def unique(self) -> bool:
        """No value comes twice (one in a hundred may): the key of a table."""
        return self.distinct > 0.99 * len(self.there) and self.empty < 0.01

    @property
    def named(self) -> bool:
        """Most values come once: a table's key, or one whose rows were written twice."""
        return self.distinct > 0.5 * len(self.there)

    @cached_property
    def numeric(self) -> pl.Series | None:
        """The cells as numbers, if all that are not blank are numbers and none has leading zeros."""
        if self.cells.dtype.is_temporal() or self.there.is_empty() or self.there.str.contains(r"^-?0\d").any():
            return None
        found = numbers(self.there)
        return None if found.null_count() else found

    @cached_property
    def whole(self) -> bool:
        """Numbers without fractions."""
        return self.numeric is not None and bool((self.numeric == self.numeric.floor()).all())

    @property
    def time_format(self) -> str | None:
        """The `time_format` by which (nearly) all cells are plausible times, or None."""
        form, fits = self.likeliest_format
        return form if fits > 0.95 else None

    @cached_property
    def likeliest_format(self) -> tuple[str, float]:
        """The `time_format` by which most cells are plausible times, and the share of these cells."""
        best = ("auto", 0.0)
        if self.there.is_empty() or (self.numeric is not None and not self.cells.dtype.is_temporal() and self.distinct == 1):
            return best
        cells = self.cells.filter(self.texts.is_not_null()) if self.cells.dtype.is_temporal() else self.there
        for form in ("auto", *DAY_FIRST, *MONTH_FIRST):
            fits = _mean(unix_seconds(cells, form).is_between(*PLAUSIBLE).fill_null(False))
            if fits > 0.95:
                return form, fits
            best = max(best, (form, fits), key=lambda found: found[1])
        return best

    @cached_property
    def kind(self) -> Kind:
        """What it holds, by its cells alone."""
        if self.there.is_empty():
            return "empty"
        if self.cells.dtype.is_temporal() or (self.numeric is None and self.time_format is not None):
            return "time"
        if isinstance(self.cells.dtype, pl.List):
            return "tags"
        if self.numeric is not None:
            return "number"
        if _mean(self.there.str.contains(IMAGE)) > 0.9:
            return "image"
        if _mean(self.there.str.contains(r"^(?i)https?://")) > 0.9:
            return "link"
        return self._kind_of_words()

    def _kind_of_words(self) -> Kind:
        if self._repeats_entries():
            return "tags"
        few = self.distinct <= min(max(20, 0.02 * len(self.there)), 0.5 * len(self.there))
        if few and self.chars < 60:
            return "category"
        wide = _mean(self.there.str.len_bytes()) / max(self.chars, 1.0)
        if self.words >= 1.8 or self.chars > 64 or (wide > 1.5 and self.chars >= 4):
            return "text"
        return "code" if self.distinct > 0.5 * len(self.there) or _mean(self.there.str.contains(r"\d")) > 0.5 else "category"

    def _repeats_entries(self) -> bool:
        """Whether cells are lists of few different entries: genres with | between, a path of categories."""
        head = self.there.head(5000)
        for mark in ("|", ";", " > ", ","):
            entries = head.str.split(mark).explode().str.strip_chars()
            if len(entries) > 1.2 * len(head) and _mean(entries.str.len_chars()) < 30 and entries.n_unique() < 0.2 * len(entries):
                return True
        return False


@dataclass(frozen=True)
class Sample:
    """A look into a file.

    Attributes:
        rows: how many were read; `complete` if that is all of them.
        head: the first ones, as they stand; spread: every so-manieth of all that were read.
    """

    path: Path
    rows: int
    complete: bool
    head: pl.DataFrame
    spread: pl.DataFrame

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by name, judged by the spread."""
        return {name: Column.of(self.spread[name]) for name in self.spread.columns}

    @property
    def whole(self) -> bool:
        """Whether the sample is the whole file."""
        return self.complete and len(self.spread) == self.rows


def look(path: Path) -> Sample:
    """Read up to five million rows and keep up to half a million (or 128 MB) of them, the first and a spread over all.

    Raises:
        ReadError: the file cannot be read; the message says why.
    """
    head: list[pl.DataFrame] = []
    spread = pl.DataFrame()
    rows, stride, complete = 0, 1, True
    for frame in _frames(path):
        if rows < KEPT_ROWS and sum(part.estimated_size() for part in head) < KEPT_BYTES:
            head.append(frame)
        # Rows 0, stride, 2 stride, ... of the whole; when they become too many, every other one of them is let go.
        spread = pl.concat([spread, frame.gather_every(stride, (-rows) % stride)], how="diagonal_relaxed")
        rows += len(frame)
        while len(spread) > KEPT_ROWS or (spread.estimated_size() > KEPT_BYTES and len(spread) > 1000):
            spread, stride = spread.gather_every(2), 2 * stride
        if rows >= READ_ROWS:
            complete = False
            break
    return Sample(path, rows, complete, pl.concat(head, how="diagonal_relaxed"), spread)


def _frames(path: Path) -> Iterator[pl.DataFrame]:
    for _, frame in scan(path, Rejections()):
        yield frame.drop(ROW)


def simple(name: str) -> str:
    """A column's name in one spelling: "unixReviewTime", "Unix Review-Time" and "unix_review_time:float" are unix_review_time."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.split(":")[0])
    return re.sub(r"[^0-9a-zà-ÿ]+", "_", name.casefold()).strip("_")


def _mean(series: pl.Series) -> float:
    mean = series.mean()
    return float(mean) if isinstance(mean, int | float) else 0.0
