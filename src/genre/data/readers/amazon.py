"""Amazon reviews as published in 2014, 2018 and 2023: reviews or ratings as events, product metadata as items."""

from __future__ import annotations

import ast
import html
import json
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from genre.data.readers import Reader, Tables
from genre.data.readers.delimited import ROW, delimited, first_lines, header
from genre.data.readers.formats import format_of
from genre.data.readers.jsonl import LINES, Record, records
from genre.data.readers.paths import DataPath
from genre.data.readers.rejection import ReadError, Rejections
from genre.data.readers.roles import Roles, events
from genre.data.readers.scanning import columns_of, require, scan
from genre.data.readers.storing import Store, store_table
from genre.progress import track

ASIN = re.compile(r"B[0-9A-Z]{9}|\d{9}[\dX]")
LITERAL_CHARS = 1_000_000
"""A metadata line longer than this is not parsed as a Python literal, whose parser needs much memory."""
ITEMS = pl.Schema({
    "item_id": pl.String(), "title": pl.String(), "brand": pl.String(), "categories": pl.List(pl.String), "price": pl.Float64(),
    "description": pl.String(), "features": pl.List(pl.String),
})  # fmt: skip
HEADERS = (
    {"user": "reviewerID", "item": "asin", "value": "overall", "time": "unixReviewTime"},
    {"user": "user_id", "item": "parent_asin", "value": "rating", "time": "timestamp"},
    {"user": "user_id", "item": "asin", "value": "rating", "time": "timestamp"},
)
"""The roles of the published columns: 2014 and 2018; 2023, where variants of a product share a parent."""


class AmazonReader(Reader):
    """Events `rate` with 1 to 5 stars. Items with the text of the product page; average ratings are left out, for they know the future."""

    class Config(Reader.Config):
        use: str = "amazon"
        reviews: DataPath
        """Reviews as JSON lines (reviews_Beauty_5.json.gz, Beauty.jsonl.gz) or ratings as CSV, of any year."""
        metadata: DataPath | None = None
        """Product metadata, one product a line (meta_Beauty.json.gz, meta_All_Beauty.jsonl.gz), as JSON or as Python literals."""

    config: Config

    def read(self, folder: Path) -> Tables:
        """Read everything; see `Reader.read`."""
        reviews, metadata, rejections = self.config.reviews, self.config.metadata, Rejections()
        with Store(folder / "events.parquet") as store:
            for source, rows, roles in track(_reviews(reviews, rejections), f"reading {reviews.name}"):
                store.add(events(source, rows, roles, rejections))
        rejections.check_rows_left(store.rows, reviews)
        items = None
        if metadata is not None:
            pages = track(_products(metadata, rejections), f"reading {metadata.name}")
            items = store_table(pages, "item_id", "item_id", folder / "items", rejections, typed=False)
        return Tables(store.scan(), items, rejected=rejections.frame())

    def sources(self) -> Iterator[Path]:
        """The reviews, then the metadata."""
        yield self.config.reviews
        if self.config.metadata is not None:
            yield self.config.metadata


def _reviews(path: Path, rejections: Rejections) -> Iterator[tuple[Path, pl.DataFrame, Roles]]:
    if not path.is_dir() and format_of(path) == "delimited" and not _has_header(path):
        names = _headless_columns(path)
        roles = Roles("user", "item", "time", None, "value", event_type="rate")
        for rows in delimited(path, rejections, separator=",", names=names):
            yield path, rows, roles
        return
    there = columns_of(path)
    named = next((names for names in HEADERS if set(names.values()) <= set(there)), None)
    if named is None:
        closest = max(HEADERS, key=lambda names: len(set(names.values()) & set(there)))
        require(closest.values(), there or ["none"], path)
        raise ReadError(f"{path}: no line of it is a review")
    roles = Roles(**named, event_type="rate")
    for source, rows in scan(path, rejections, roles.columns, roles.columns):
        yield source, rows, roles


def _has_header(path: Path) -> bool:
    names, _ = header(path)
    return not any(ASIN.fullmatch(name) for name in names)


def _headless_columns(path: Path) -> tuple[str, ...]:
    # 2014 wrote user,item,rating,time and 2018 item,user,rating,time: only the shape of the ids tells.
    cells = [line.split(",") for line in first_lines(path, 200)]
    rows = [row for row in cells if len(row) == 4]
    if not rows:
        raise ReadError(f"{path}: ratings without a header need four columns: user, item, rating, time (or item, user, rating, time)")
    asins = [sum(bool(ASIN.fullmatch(row[at])) for row in rows) for at in (0, 1)]
    return ("item", "user", "value", "time") if asins[0] > asins[1] else ("user", "item", "value", "time")


def _products(path: Path, rejections: Rejections) -> Iterator[tuple[Path, pl.DataFrame]]:
    lines = records(path, rejections, parse_line)
    first = True
    while batch := list(islice(lines, LINES)):
        if first and not any("asin" in page or "parent_asin" in page for _, page in batch):
            require(["parent_asin"], list(dict.fromkeys(name for _, page in batch for name in page)) or ["none"], path)
        first = False
        rows = [product(page) for _, page in batch]
        frame = pl.DataFrame(rows, schema=ITEMS)
        yield path, frame.with_columns(pl.Series(ROW, [row for row, _ in batch], pl.Int64))


def parse_line(line: str) -> Any:
    """A line of metadata: JSON, or the Python literal that 2014 wrote. Nothing in it is ever run.

    Raises:
        ValueError: it is neither.
    """
    try:
        return json.loads(line)
    except ValueError:
        if len(line) > LITERAL_CHARS:
            raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stray backslashes in product texts
        try:
            return ast.literal_eval(line)
        except (SyntaxError, TypeError, MemoryError) as error:
            raise ValueError("neither JSON nor a Python literal") from error


def product(page: Record) -> dict[str, Any]:
    """A product's page, of any year, under the names of ITEMS."""
    categories = _flat(page.get("categories")) or _flat(page.get("category")) or _flat(page.get("main_category"))
    return {
        "item_id": _line(page.get("parent_asin") or page.get("asin")),
        "title": _line(page.get("title")),
        "brand": _line(page.get("brand") or page.get("store")),
        "categories": categories,
        "price": _price(page.get("price")),
        "description": " ".join(_flat(page.get("description"))) or None,
        "features": _flat(page.get("features") or page.get("feature")),
    }


def _flat(value: Any) -> list[str]:
    """All texts of a text, a list, or a list of lists, each once, in order."""
    if isinstance(value, list | tuple):
        return list(dict.fromkeys(text for entry in value for text in _flat(entry)))
    line = _line(value)
    return [] if line is None else [line]


def _line(value: Any) -> str | None:
    """Readable text: entities resolved, white space squeezed; None if nothing is left, or if it is no plain value."""
    if isinstance(value, int | float) and value == value:
        return f"{value:g}" if isinstance(value, float) else str(value)
    return (" ".join(html.unescape(value).split()) or None) if isinstance(value, str) else None


def _price(value: Any) -> float | None:
    """The first amount: "$5.99", "from 12.99" and "$1,299.00 - $1,499.00" have one, "None" has none."""
    if isinstance(value, int | float):
        return float(value) if value == value else None
    amount = re.search(r"\d[\d,]*(?:\.\d+)?", value) if isinstance(value, str) else None
    return float(amount[0].replace(",", "")) if amount else None
