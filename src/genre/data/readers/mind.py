"""MIND, Microsoft's news data: impressions with what was clicked, the clicks before them, and the news."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genre.data.readers import EVENTS, Reader, Tables
from genre.data.readers.delimited import ROW, delimited
from genre.data.readers.paths import DataPath
from genre.data.readers.rejection import Rejections
from genre.data.readers.roles import reject
from genre.data.readers.storing import Store, store_table
from genre.data.readers.values import ids, unix_seconds
from genre.progress import track

BEHAVIORS = ("request_id", "user_id", "time", "history", "impressions")
NEWS = ("item_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
TIME = "%m/%d/%Y %I:%M:%S %p"
SHOWN = r"^\S+-[01](\s+\S+-[01])*$"


class MindReader(Reader):
    """Clicks as events `click`, first those of the histories, which have no time; all that was shown as impressions."""

    class Config(Reader.Config):
        use: str = "mind"
        behaviors: DataPath
        """behaviors.tsv: impression, user, time, history, what was shown ("N1-0 N2-1")."""
        news: DataPath | None = None
        """news.tsv: id, category, subcategory, title, abstract, address, entities."""

    config: Config

    def read(self, folder: Path) -> Tables:
        """Read everything; see `Reader.read`.

        A user's history is known by its order alone, so its clicks come with a null time, before all others: null sorts first. It is
        that of the user's first impression; MIND repeats it at the later ones.
        """
        config, rejections = self.config, Rejections()
        first: pl.DataFrame | None = None
        with Store(folder / "clicks.parquet") as clicks, Store(folder / "impressions.parquet") as impressions:
            frames = delimited(config.behaviors, rejections, separator="\t", quotes=False, names=BEHAVIORS)
            for rows in track(frames, f"reading {config.behaviors.name}"):
                good = _checked(config.behaviors, rows, rejections)
                shown = _shown(good)
                impressions.add(shown)
                clicks.add(_events(shown.filter("clicked").select("user_id", "item_id", "time")))
                first = _first(good if first is None else pl.concat([first, good.select(first.columns)]))
        rejections.check_rows_left(impressions.rows, config.behaviors)
        assert first is not None
        with Store(folder / "histories.parquet") as histories:
            for users in first.iter_slices(10_000):
                histories.add(_history(users))
        news = None
        if config.news is not None:
            pages = ((config.news, rows) for rows in delimited(config.news, rejections, separator="\t", quotes=False, names=NEWS))
            news = store_table(track(pages, f"reading {config.news.name}"), "item_id", "item_id", folder / "news", rejections, typed=False)
            news = news.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in NEWS[1:])
        events = pl.concat([histories.scan(), clicks.scan()])
        return Tables(events, news, None, impressions.scan(), rejections.frame())

    def sources(self) -> Iterator[Path]:
        """The behaviours, then the news."""
        yield self.config.behaviors
        if self.config.news is not None:
            yield self.config.news


def _checked(file: Path, rows: pl.DataFrame, rejections: Rejections) -> pl.DataFrame:
    user, time = ids(rows["user_id"]), unix_seconds(rows["time"], TIME)
    labelled = rows["impressions"].str.strip_chars().str.contains(SHOWN)
    faults = [
        (user.is_null(), "the user is blank"),
        (time.is_null(), "the time is not like 11/11/2019 9:05:58 AM"),
        (~labelled, "what was shown is not like N1-0 N2-1 (the test set without labels cannot be used)"),
    ]
    return rows.with_columns(user.alias("user_id"), time.alias("time")).filter(reject(file, rows, faults, rejections))


def _shown(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each place of each impression; position 1 is the first."""
    entry = pl.col("impressions").str.extract_all(r"\S+")
    return (
        rows.select("request_id", "user_id", "time", entry, pl.int_ranges(1, entry.list.len() + 1).alias("position"))
        .explode("impressions", "position")
        .select(
            "request_id", "user_id", "time",
            pl.col("impressions").str.slice(0, pl.col("impressions").str.len_chars() - 2).alias("item_id"),
            "position", pl.col("impressions").str.ends_with("-1").alias("clicked"),
        )
    )  # fmt: skip


def _first(rows: pl.DataFrame) -> pl.DataFrame:
    """Each user's earliest impression."""
    return rows.select("user_id", "time", "history", ROW).sort("time", ROW).unique("user_id", keep="first", maintain_order=True)


def _history(users: pl.DataFrame) -> pl.DataFrame:
    clicked = users.select("user_id", pl.col("history").str.extract_all(r"\S+").alias("item_id")).explode("item_id").drop_nulls()
    return _events(clicked.with_columns(pl.lit(None, pl.Float64).alias("time")))


def _events(clicks: pl.DataFrame) -> pl.DataFrame:
    nothing = {"event": pl.lit("click"), "value": pl.lit(None, pl.Float64), "session_id": pl.lit(None, pl.String)}
    return clicks.with_columns(**nothing).select(*EVENTS)
