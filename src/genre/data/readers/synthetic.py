"""A reader without files: the synthetic world, for tests, demonstrations and measurements of scale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genre.data.readers import Reader, Tables
from genre.data.synthetic import World, WorldConfig


class SyntheticReader(Reader):
    """Simulates the world of its settings, streams it to parquet, and scans that."""

    class Config(Reader.Config, WorldConfig):
        use: str = "synthetic"

    config: Config

    def read(self, folder: Path) -> Tables:
        """Write `world/*.parquet` into the folder, and scan it. Nothing is ever rejected."""
        World(self.config).write(folder / "world")
        events, items, users = (pl.scan_parquet(folder / "world" / f"{name}.parquet") for name in ("events", "items", "users"))
        return Tables(events=events, items=items, users=users)

    def sources(self) -> Iterator[Path]:
        """None: the settings decide everything."""
        yield from ()
