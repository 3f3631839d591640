"""Our own event log: what a server archived, after what the recommender was first trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import Field, SerializeAsAny

from genre.component import Chosen, build
from genre.data.readers import EVENTS, REJECTED, Reader, Tables
from genre.data.readers.lists import STANDARD
from genre.data.readers.paths import DataPath
from genre.data.readers.rejection import ReadError
from genre.types import context_text

SILENT = ("impression", "search")
"""Nobody did anything with an item."""
VALUE = "_value"
"""Behind the name of an event's type: the highest value of such events, which is not known where there was none."""


class EventLogReader(Reader):
    """Reads `events`, `catalogue`, `exposures` and `merges` of an archive (`genre update` writes one into RUN/logs).

    A user is who an event belongs to after all merges: a user's id, or `session:ID` for someone who never logged in.
    """

    class Config(Reader.Config):
        use: str = "event_log"
        path: DataPath
        """The archive."""
        base: Annotated[SerializeAsAny[Reader.Config], Chosen(Reader, without=("event_log",))] | None = None
        """What the recommender was trained on before there was a log: its interactions come first, its items are the catalogue's start."""
        ignore: list[str] = Field(default_factory=lambda: ["hide", "dislike", "report"])
        """Event types that are no interactions, besides impressions and searches."""

    config: Config

    def read(self, folder: Path) -> Tables:
        """Lazily; nothing is ever rejected, for the server has judged every row when it came."""
        events, shown = self._events(), self._impressions()
        items, users, rejected = None, None, pl.DataFrame(schema=REJECTED)
        if self.config.base is not None:
            base = build(Reader, self.config.base).read(folder)
            events = pl.concat([base.events.select(*EVENTS), events])
            items, users, rejected = base.items, base.users, base.rejected
            before = [each for each in (base.impressions, shown) if each is not None]
            shown = pl.concat(before, how="diagonal_relaxed") if before else None
        return Tables(events, self._items(items), users, shown, rejected)

    def sources(self) -> Iterator[Path]:
        """Every file of the archive, then those of the base."""
        yield from sorted(Path(self.config.path).rglob("*.parquet"))
        if self.config.base is not None:
            yield from build(Reader, self.config.base).sources()

    @property
    def _archive(self) -> Path:
        return Path(self.config.path)

    @property
    def _left_out(self) -> list[str]:
        return [*SILENT, *self.config.ignore]

    def _events(self) -> pl.LazyFrame:
        log = scan_log(self._archive, "events")
        if log is None:
            if self.config.base is None:
                raise ReadError(f"{self.config.path}: no events in this archive; write one with: genre update RUN")
            return pl.LazyFrame(schema=EVENTS)
        return (
            merged(self._archive, log)
            .filter(pl.col("item_id").is_not_null(), ~pl.col("type").is_in(self._left_out))
            .select(owner(), "item_id", "time", pl.col("type").alias("event"), "value", "session_id")
            .cast(EVENTS)  # type: ignore[arg-type]
        )

    def _impressions(self) -> pl.LazyFrame | None:
        shown, events = scan_log(self._archive, "exposures"), scan_log(self._archive, "events")
        if shown is None:
            return None
        told = pl.LazyFrame(
            contexts_of(shown.select(pl.col("context").unique()).collect()["context"]), schema_overrides={"context": pl.String}
        )
        named = told.collect_schema().names()[1:]
        lines = (
            merged(self._archive, shown)
            .join(told, on="context", how="left", maintain_order="left")
            .select("request_id", "unit", "time", "surface", *named, item_id="item_ids", position="positions")
            .explode("item_id", "position")
        )
        lines = lines.filter(pl.col("item_id").is_not_null()).with_columns(owner())
        labels: list[str] = []
        if events is None:
            lines = lines.with_columns(clicked=pl.lit(False))
        else:
            labels = self._labels(events)
            lines = lines.join(self._done(events, labels), on=["request_id", "item_id"], how="left", maintain_order="left")
            counted = (pl.col(label).fill_null(0.0) for label in labels if not label.endswith(VALUE))
            lines = lines.with_columns(pl.col("clicked").fill_null(False), *counted)
        return lines.select("request_id", "user_id", "time", "item_id", "position", "clicked", *labels, "surface", *named)

    def _labels(self, events: pl.LazyFrame) -> list[str]:
        """Types of events that are tasks of their own: all but clicks, which `clicked` tells; and those that come with a value."""
        kinds = events.group_by("type").agg(valued=pl.col("value").is_not_null().any()).sort("type").collect()
        found = [kind for kind in kinds["type"] if kind not in (*SILENT, "click", *STANDARD)]
        return [*found, *(f"{kind}{VALUE}" for kind in kinds.filter("valued")["type"] if kind not in SILENT)]

    def _done(self, events: pl.LazyFrame, labels: list[str]) -> pl.LazyFrame:
        """What came of each entry: whether there was an interaction, and what of every type."""
        liked = (~pl.col("type").is_in(self._left_out)).any().alias("clicked")
        valued = [label for label in labels if label.endswith(VALUE)]
        happened = [(pl.col("type") == label).any().cast(pl.Float64).alias(label) for label in labels if label not in valued]
        highest = [pl.col("value").filter(pl.col("type") == label.removesuffix(VALUE)).max().alias(label) for label in valued]
        wanted = events.filter(pl.col("request_id").is_not_null(), ~pl.col("type").is_in(SILENT))
        return wanted.group_by("request_id", "item_id").agg(liked, *happened, *highest)

    def _items(self, base: pl.LazyFrame | None) -> pl.LazyFrame | None:
        log = scan_log(self._archive, "catalogue")
        if log is None:
            return base
        newest = log.sort("seq").unique("item_id", keep="last", maintain_order=True).filter(pl.col("data").is_not_null()).collect()
        if not len(newest):
            return base
        attributes = [json.loads(data)["attributes"] for data in newest["data"]]
        names = list(dict.fromkeys(name for item in attributes for name in item))
        columns: dict[str, list[Any]] = {name: [_plain(item.get(name)) for item in attributes] for name in names}
        changed = pl.DataFrame([newest["item_id"], *(_series(name, values) for name, values in columns.items())])
        if base is None:
            return changed.lazy()
        schema = base.collect_schema()
        kept = [name for name in schema if name in changed.columns]
        fitted = changed.select(kept).cast({name: schema[name] for name in kept if name != "item_id"}, strict=False)
        # An item told of again takes its new attributes and keeps its place; new ones come last.
        updated = base.update(fitted.lazy(), on="item_id", how="left", maintain_order="left")
        return pl.concat([updated, fitted.lazy().join(base, on="item_id", how="anti")], how="diagonal").select(list(schema))


def scan_log(archive: Path, name: str) -> pl.LazyFrame | None:
    """One log of an archive; None if nothing of it was ever archived."""
    files = sorted((archive / name).glob("date=*/*.parquet"))
    # Columns grow in number over the years: what older files do not have is null in them, and newer ones may have more than the first.
    schema: dict[str, pl.DataType] = {}
    for file in files:
        schema |= pl.read_parquet_schema(file)
    return pl.scan_parquet(files, hive_partitioning=False, schema=schema, missing_columns="insert") if files else None


def contexts_of(logged: pl.Series) -> dict[str, list[str | None]]:
    """The distinct contexts of a log, as it writes them, and what each says, by name; names that mean something else are left out."""
    written = logged.drop_nulls().unique().sort().to_list()
    read = [json.loads(text) for text in written]
    names = [
        name for name in dict.fromkeys(name for each in read for name in each) if name not in (*STANDARD, "surface", "unit", "context")
    ]
    return {"context": written, **{name: [context_text(each[name]) if name in each else None for each in read] for name in names}}


def merged(archive: Path, log: pl.LazyFrame) -> pl.LazyFrame:
    """Its `unit` after all merges, those included that came after a row was archived."""
    file = archive / "merges.parquet"
    if not file.is_file():
        return log
    into = pl.scan_parquet(file)
    return log.join(into, on="unit", how="left", maintain_order="left").with_columns(unit=pl.coalesce("into_unit", "unit"))


def owner() -> pl.Expr:
    """`user_id` of a unit: a user's id as it was given; a session keeps its prefix, for ids of the two kinds may be the same."""
    return pl.col("unit").str.strip_prefix("user:").alias("user_id")


def _plain(value: Any) -> Any:
    return ", ".join(str(entry) for entry in value) if isinstance(value, list) else value


def _series(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds:
        return pl.Series(name, values, pl.Float64 if float in kinds else pl.Int64, strict=False)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)
