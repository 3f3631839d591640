"""A server's archive as an exposure log: which of its lists a policy chose, from what, and what their owners did before and after."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import polars as pl

from genre.component import build
from genre.data.dataset import Dataset
from genre.data.readers import Reader
from genre.data.readers.event_log import merged, owner, scan_log

logger = logging.getLogger(__name__)
LISTS = ("item_ids", "positions", "propensities")


def is_archive(folder: Path) -> bool:
    """Whether a folder is what `genre update` writes: a folder a log."""
    return (folder / "exposures").is_dir()


def lists_of(archive: Path) -> pl.DataFrame:
    """Every list that a policy chose, with what is needed to ask another policy about it.

    `context` is JSON, as the archive has it.

    Left out are places that no policy chose (pins, backfills) and interleaved lists, whose propensities are null, and lists of which a
    stage had failed. What the policy chose from is known while the server keeps its traces; for `rank` it is the caller's list.
    """
    log = scan_log(archive, "exposures")
    if log is None:
        raise FileNotFoundError(f"{archive / 'exposures'} has no lists; write them with: genre update RUN")
    shown = merged(archive, log).with_columns(
        owner(),
        candidates=pl.when(kind="rank").then("item_ids").otherwise("candidates"),
        chosen=pl.col("propensities").list.eval(pl.element().is_not_null().arg_true()),
    )
    kept = shown.filter(pl.col("degraded").list.len() == 0).with_columns(pl.col(name).list.gather(pl.col("chosen")) for name in LISTS)
    frame = kept.rename({"item_ids": "items"}).with_columns(
        # Strangers have nothing to do with each other: each request is a unit of its own.
        unit=pl.when(pl.col("unit") != "anonymous").then("user_id")
    )
    found = frame.drop("user_id", "session_id", "scores", "degraded", "ms", "chosen", "^into_unit|teams$").collect()
    total = int(log.select(pl.len()).collect().item())
    empty = int((found["items"].list.len() == 0).sum())
    unknown = int(found["candidates"].is_null().sum())
    if interleaved := int(log.filter(pl.col("policy") == "team_draft").select(pl.len()).collect().item()):
        logger.warning("%s: %s lists interleave two rankings; how likely these were is not known: left out", archive, interleaved)
    logger.info("%s: of %s lists, %s degraded and %s chosen by no policy are left out", archive, total, total - len(found), empty)
    if unknown:
        logger.warning("%s: of %s lists it is not known what the policy chose from; archive while traces are kept", archive, unknown)
    return found


def events_of(archive: Path) -> pl.LazyFrame:
    """What came of the lists; nothing yet is no error."""
    found = scan_log(archive, "events")
    return pl.LazyFrame(schema={"request_id": pl.String, "item_id": pl.String, "type": pl.String}) if found is None else found


def done_in(archive: Path) -> pl.DataFrame:
    """What people did with items: `user_id`, `item_id`, `time`."""
    reader = build(Reader, {"use": "event_log", "path": str(archive)})
    columns = {"user_id": pl.String, "item_id": pl.String, "time": pl.Float64}
    if scan_log(archive, "events") is None:
        return pl.DataFrame(schema=columns)
    return reader.read(archive).events.select(*columns).collect()


def told(dataset: Dataset, done: pl.DataFrame) -> Dataset:
    """A dataset that also knows what was done since: events with its items that it does not have yet, new users last."""
    new = pl.DataFrame({"user_id": done["user_id"].unique(maintain_order=True)}).join(dataset.users, on="user_id", how="anti")
    start = len(dataset.users)
    new = new.with_columns(pl.int_range(start, start + len(new)).cast(dataset.users["user_idx"].dtype).alias("user_idx"))
    users = pl.concat([dataset.users, new], how="diagonal")
    rows = (
        done.join(users.select("user_id", "user_idx"), on="user_id")
        .join(dataset.items.select("item_id", "item_idx"), on="item_id")
        .select("user_idx", "item_idx", pl.col("time").cast(dataset.interactions["time"].dtype))
        .join(dataset.interactions, on=["user_idx", "item_idx", "time"], how="anti")
    )
    interactions = pl.concat([dataset.interactions, rows], how="diagonal").sort("user_idx", "time", maintain_order=True)
    return replace(dataset, users=users, interactions=interactions)
