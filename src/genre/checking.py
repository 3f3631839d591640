"""Checking: what is wrong with a configuration's data, before anything is learnt from it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from genre.component import build
from genre.config import load_config
from genre.data.checks import check as check_data
from genre.data.checks import leaks
from genre.data.findings import Finding
from genre.data.preparing import indexed, interactions_of, split_up
from genre.data.readers import Reader
from genre.data.splitting import Split
from genre.data.text import render


def check(config: str | Path, overrides: Iterable[str] = ()) -> tuple[list[Finding], pl.DataFrame]:
    """What is wrong with the interactions that a configuration counts and their items, and the rows that could not be read."""
    settings = load_config(config, overrides)
    with tempfile.TemporaryDirectory() as scratch:
        tables = build(Reader, settings.data.reader).read(Path(scratch))
        data = settings.data
        counted, _ = interactions_of(tables.events, data.events, data.min_value)
        items = None if tables.items is None else tables.items.collect()
        if items is not None:
            items = items.with_columns(render(items, data.text).alias("text"))
        findings = check_data(counted, items, time.time())
        if findings and findings[0].name == "empty":
            return findings, tables.rejected
        numbered = [indexed(table, counted, who) for table, who in ((tables.items, "item"), (tables.users, "user"))]
        try:
            interactions = split_up(counted, numbered[0], numbered[1], build(Split, data.split), data.ties, data.seed)
        except ValueError as error:
            found = [Finding("error", "split", str(error), 0, 0.0, (), "training cannot begin like this")]
        else:
            found = leaks(interactions, data.repeats)
        return [*found, *findings], tables.rejected
