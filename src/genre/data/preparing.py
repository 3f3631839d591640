"""Prepare: somebody's tables to a dataset with dense indices, a fixed order in time, and a split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from genre.data.leaks import leak_checks
from genre.data.readers import Reader, Tables
from genre.data.splitting import COLD, LATER, TEST, TRAIN, VALID, Split
from genre.data.text import render

PARTS = {TRAIN: "train", VALID: "valid", TEST: "test", LATER: "later", COLD: "cold"}


def prepare(
    reader: Reader,
    split: Split,
    folder: Path,
    *,
    text: str = "",
    title: str | None = None,
    events: Sequence[str] | None = None,
    min_value: float | None = None,
    repeats: bool = False,
    ties: str = "shuffle",
    seed: int = 0,
) -> None:
    """Read, clean, index, order and split; writes the folder that `Dataset.load` reads.

    Raises:
        ValueError: nothing is left to learn from, with what was left out and why.
    """
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    tables = reader.read(scratch)
    kept, left_out = interactions_of(tables.events, events, min_value)
    if kept.select(pl.len()).collect().item() == 0:
        kinds = tables.events.select(pl.col("event").drop_nulls().unique().sort()).collect()["event"]
        raise ValueError(
            f"no interaction is left: {len(tables.rejected):,} rows were rejected, {sum(left_out.values()):,} left out {left_out or ''}; "
            f"look at data.events (there is {', '.join(kinds.cast(pl.String)) or 'none'}), data.min_value and data.reader.columns"
        )
    disliked = disliked_of(tables.events, events, min_value)
    items = indexed(tables.items, kept, "item")
    users = indexed(tables.users, kept if disliked is None else pl.concat([kept, disliked]), "user")
    items = _with_text(items, text, title)
    interactions = split_up(kept, items, users, split, ties, seed)

    items.write_parquet(folder / "items.parquet")
    users.write_parquet(folder / "users.parquet")
    interactions.write_parquet(folder / "interactions.parquet")
    tables.rejected.write_parquet(folder / "rejected.parquet")
    if disliked is not None:
        _numbered(disliked, items, users).drop_nulls("item_idx").sort("user_idx", "time").select(
            "user_idx", "item_idx", "time"
        ).sink_parquet(folder / "disliked.parquet")
    if tables.impressions is not None:
        tables.impressions.sink_parquet(folder / "impressions.parquet")
    summary = _summary(interactions, items, users, tables, left_out) | {
        "protocol": split.describe(), "repeats": repeats, "ties": ties,
        "checks": [asdict(each) for each in leak_checks(interactions, repeats, ties == "shuffle")],
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    shutil.rmtree(scratch)


def split_up(events: pl.LazyFrame, items: pl.DataFrame, users: pl.DataFrame, split: Split, ties: str, seed: int) -> pl.DataFrame:
    """Events with numbers, in order, each in its part."""
    interactions = _ordered(events, items, users, ties, seed)
    interactions = interactions.with_columns(split.parts(interactions).alias("part"))
    return _without_cold(interactions, len(items), split.config.cold_items, seed)


def interactions_of(events: pl.LazyFrame, kinds: Sequence[str] | None, min_value: float | None) -> tuple[pl.LazyFrame, dict[str, int]]:
    """The events that count as interactions, and how many were left out by which setting."""
    left_out: dict[str, int] = {}
    for setting, keep in (
        ("data.events", None if kinds is None else pl.col("event").is_in(list(kinds))),
        ("data.min_value", None if min_value is None else pl.col("value") >= min_value),
    ):
        if keep is not None:
            keep = keep.fill_null(False)
            left_out[setting] = events.select((~keep).sum()).collect().item()
            events = events.filter(keep)
    return events, left_out


def disliked_of(events: pl.LazyFrame, kinds: Sequence[str] | None, min_value: float | None) -> pl.LazyFrame | None:
    """What people valued below the threshold: known to them, and not wanted. A value of 0, or none, says that nothing happened."""
    if min_value is None:
        return None
    valued = events if kinds is None else events.filter(pl.col("event").is_in(list(kinds)))
    return valued.filter((pl.col("value") < min_value) & (pl.col("value") != 0))


def indexed(table: pl.LazyFrame | None, events: pl.LazyFrame, who: str) -> pl.DataFrame:
    """The catalogue (or the users) in file order, then those that only events name, numbered from 0."""
    key = f"{who}_id"
    named = events.select(key).unique(maintain_order=True).collect(engine="streaming")
    frame = named if table is None else table.collect()
    if table is not None:
        frame = pl.concat([frame, named.join(frame, on=key, how="anti", maintain_order="left")], how="diagonal")
    index = pl.int_range(pl.len(), dtype=pl.Int32).alias(f"{who}_idx")
    return frame.select(index, key, pl.exclude(f"{who}_idx", key))


def _with_text(items: pl.DataFrame, template: str, title: str | None) -> pl.DataFrame:
    """The text that encoders read and the title that people see, beside the catalogue's own columns."""
    try:
        text = render(items, template)
    except ValueError as error:
        raise ValueError(f"data.text: {error}") from error
    if title is not None and title not in items.columns:
        raise ValueError(f"data.title names the column {title!r}; the items have {', '.join(items.columns)}")
    shown = title or next((name for name in ("title", "name") if name in items.columns), None)
    items = items.with_columns(text.alias("text"))
    label = pl.col(shown).cast(pl.String) if shown else pl.when(pl.col("text") != "").then(pl.col("text"))
    return items.with_columns(label.fill_null(pl.col("item_id")).alias("shown"))


def _numbered(events: pl.LazyFrame, items: pl.DataFrame, users: pl.DataFrame) -> pl.LazyFrame:
    """Events with the numbers of their users and items."""
    return events.join(items.lazy().select("item_id", "item_idx"), on="item_id", how="left", maintain_order="left").join(
        users.lazy().select("user_id", "user_idx"), on="user_id", how="left", maintain_order="left"
    )


def _ordered(events: pl.LazyFrame, items: pl.DataFrame, users: pl.DataFrame, ties: str, seed: int) -> pl.DataFrame:
    """Interactions by user and time. A session stays together; what shares a time stamp is shuffled, or left as in the file."""
    frame = (
        _numbered(events, items, users)
        .select(
            "user_idx", "item_idx", "time", pl.col("value").cast(pl.Float32), pl.col("event").cast(pl.Categorical),
            pl.col("session_id").cast(pl.Categorical).to_physical().alias("session"),
        )
        .collect()
    )  # fmt: skip
    row = np.arange(len(frame))
    if ties == "shuffle":
        chance = np.random.default_rng(seed).permutation(len(frame))
        row = np.where(frame["time"].is_null().to_numpy(), row, chance)
    frame = frame.with_columns(pl.Series("row", row))
    order = ["time", "row"]
    if frame["session"].null_count() < len(frame):
        frame = frame.with_columns(
            begin=pl.when(pl.col("session").is_null()).then(pl.col("time")).otherwise(pl.col("time").min().over("user_idx", "session"))
        )
        order = ["begin", "session", "time", "row"]
    frame = frame.sort("user_idx", *order, nulls_last=False)
    new = (
        (pl.col("session") != pl.col("session").shift()) | pl.col("session").is_null() | (pl.col("user_idx") != pl.col("user_idx").shift())
    )
    return frame.with_columns(session=new.fill_null(True).cum_sum().over("user_idx").cast(pl.Int32) - 1).select(
        "user_idx", "item_idx", "time", "value", "event", "session"
    )


def _without_cold(interactions: pl.DataFrame, n_items: int, share: float, seed: int) -> pl.DataFrame:
    """Held-out items leave the training part."""
    if share == 0:
        return interactions
    held = np.random.default_rng([seed, 1]).choice(n_items, round(share * n_items), replace=False).astype(np.int32)
    cold = (pl.col("part") == TRAIN) & pl.col("item_idx").is_in(held.tolist())
    return interactions.with_columns(part=pl.when(cold).then(pl.lit(COLD, pl.Int8)).otherwise("part"))


def _summary(
    interactions: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame, tables: Tables, left_out: dict[str, int]
) -> dict[str, object]:
    parts = dict(interactions.group_by("part").len().iter_rows())
    times = interactions["time"]
    return {
        "users": len(users),
        "items": len(items),
        "interactions": len(interactions),
        "parts": {name: parts.get(part, 0) for part, name in PARTS.items()},
        "items_with_text": int((items["text"] != "").sum()),
        "rejected": len(tables.rejected),
        "left_out": left_out,
        "first_time": times.min(),
        "last_time": times.max(),
    }
