"""Your own files: CSV, TSV, JSON lines or Parquet, with columns named by role."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from pydantic import Field, field_validator, model_validator

from genre.component import Settings
from genre.data.readers import EVENTS, Reader, Tables
from genre.data.readers.formats import format_of, parts
from genre.data.readers.lists import ListColumns, store_lists
from genre.data.readers.paths import DataPath
from genre.data.readers.rejection import Rejections
from genre.data.readers.roles import ORDER, Roles, events
from genre.data.readers.scanning import columns_of, require, scan
from genre.data.readers.storing import Store, store_table
from genre.data.readers.values import check_time_format, unit
from genre.progress import track

log = logging.getLogger(__name__)


class Columns(Settings):
    """Which column of the events file plays which role."""

    user: str
    """Who."""
    item: str
    """With what."""
    time: str | None = None
    """When; see `time_format`. Without it, rows are in order as they stand."""
    event: str | None = None
    """The kind of event: click, purchase, rate, ..."""
    value: str | None = None
    """A rating, a price, seconds watched."""
    session: str | None = None
    """What happened together: a visit, an invoice."""


class FilesReader(Reader):
    """Reads files of any size in bounded memory; rows that cannot be used are rejected with their number and the reason."""

    class Config(Reader.Config):
        use: str = "files"
        events: DataPath
        """The file of events (.csv, .tsv, .txt, .jsonl, each also .gz; .parquet), or a folder of such files."""
        items: DataPath | None = None
        """The catalogue: one row an item, any further columns (title, description, price, ...)."""
        users: DataPath | None = None
        """What is known of users: one row a user, any further columns."""
        impressions: DataPath | None = None
        """What was shown and what came of it: one row an entry of a list, clicked or not."""
        columns: Columns
        """Roles of the columns of the events file."""
        lists: ListColumns | None = None
        """Roles of the columns of the impressions file."""
        item_id: str | None = None
        """The id's column in the items file; None: named as in the events."""
        user_id: str | None = None
        """The id's column in the users file; None: named as in the events."""
        event_type: str = Field("click", min_length=1)
        """The kind of events without one of their own."""
        time_format: str = "auto"
        """`auto`: numbers are unix time, the unit (seconds to nanoseconds) seen by magnitude, and texts ISO dates; or `unix`, `unix_ms`,
        `iso`, or a strptime format like "%d/%m/%Y %H:%M". A time without a zone is UTC."""
        order: str | None = None
        """Where there is no clock: the column of numbers that orders a user's events. Not together with `columns.time`."""
        separator: str | None = Field(None, min_length=1, max_length=1)
        """Between the fields of CSV files; None: seen from the header."""
        quotes: bool = True
        """Double quotes enclose fields that hold separators or line breaks; set false where quotes are just characters."""

        @field_validator("events", "items", "users", "impressions")
        @classmethod
        def _readable(cls, path: Path | None) -> Path | None:
            if path is not None and not path.is_dir():
                format_of(path)
            return path

        @field_validator("time_format")
        @classmethod
        def _time_format(cls, value: str) -> str:
            return check_time_format(value)

        @model_validator(mode="after")
        def _one_order(self) -> FilesReader.Config:
            if self.order is not None and self.columns.time is not None:
                raise ValueError("`order` is for events without a clock; leave out either `order` or `columns.time`")
            if (self.impressions is None) != (self.lists is None):
                raise ValueError("`impressions` (the file) and `lists` (the roles of its columns) go together; one is missing")
            if self.lists is not None and (self.lists.time or self.columns.time) is None:
                raise ValueError("lists.time: impressions need a clock; name the column that says when each list was shown")
            return self

    config: Config

    def read(self, folder: Path) -> Tables:
        """Read everything; see `Reader.read`. Where only `order` is known, events come sorted by user and order."""
        config, rejections = self.config, Rejections()
        # A wrong name in the last file shall not cost the hour of reading the first.
        for path, key in self._tables():
            require([key], columns_of(path, config.separator, config.quotes), path)
        roles = self._list_roles()
        if config.impressions is not None:
            require(list(roles.values()), columns_of(config.impressions, config.separator, config.quotes), config.impressions)
        found = self._events(folder / "events.parquet", rejections)
        items, users = (
            None
            if path is None
            else store_table(
                track(scan(path, rejections, None, [key], config.separator, config.quotes), f"reading {path.name}"),
                key, f"{what}_id", folder / f"{what}s", rejections, typed=format_of(parts(path)[0]) != "parquet",
            )
            for what, path, key in (("item", config.items, self._item_key), ("user", config.users, self._user_key))
        )  # fmt: skip
        shown = None
        if (file := config.impressions) is not None:
            frames = track(scan(file, rejections, None, list(roles.values()), config.separator, config.quotes), f"reading {file.name}")
            typed = format_of(parts(file)[0]) != "parquet"
            shown = store_lists(frames, roles, config.time_format, folder / "impressions", rejections, typed)
        return Tables(found, items, users, shown, rejections.frame())

    def sources(self) -> Iterator[Path]:
        """The events, then the items, the users and the impressions."""
        yield self.config.events
        yield from (path for path, _ in self._tables())
        if self.config.impressions is not None:
            yield self.config.impressions

    @property
    def _item_key(self) -> str:
        return self.config.item_id or self.config.columns.item

    @property
    def _user_key(self) -> str:
        return self.config.user_id or self.config.columns.user

    def _list_roles(self) -> dict[str, str]:
        lists, events = self.config.lists, self.config.columns
        if lists is None:
            return {}
        found = {"request_id": lists.request, "user_id": lists.user or events.user, "item_id": lists.item or events.item}
        found |= {"time": lists.time or events.time or "", "clicked": lists.clicked}
        return found if lists.position is None else {**found, "position": lists.position}

    def _tables(self) -> Iterator[tuple[Path, str]]:
        for path, key in ((self.config.items, self._item_key), (self.config.users, self._user_key)):
            if path is not None:
                yield path, key

    def _events(self, file: Path, rejections: Rejections) -> pl.LazyFrame:
        config = self.config
        roles = Roles(
            **config.columns.model_dump(), order=config.order, event_type=config.event_type, time_format=config.time_format
        )  # fmt: skip
        batches = scan(config.events, rejections, roles.columns, roles.columns, config.separator, config.quotes)
        with Store(file) as store:
            for source, rows in track(batches, f"reading {config.events.name}"):
                if roles.time is not None and roles.time_format == "auto" and store.rows == 0 and len(rows):
                    log.info("%s: %s is taken for %s", source, roles.time, unit(rows[roles.time]))
                store.add(events(source, rows, roles, rejections))
        rejections.check_rows_left(store.rows, config.events)
        found = store.scan()
        return found if config.order is None else found.sort("user_id", ORDER, maintain_order=True).select(*EVENTS)
