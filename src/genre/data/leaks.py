"""Leak checks: does a split let a model know what it is asked for? Looked at on the rows themselves, before anything is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from genre.data.splitting import TEST, TRAIN

Level = Literal["ok", "note", "leak"]
SMALL = 0.01
"""A smaller share of what is judged changes no figure that anybody reads."""


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked for, `learnt after the target`.
        level: `ok`, `note` (to know when reading the figures) or `leak` (the figures are wrong).
        count: how often it was found, among `of`.
        sentence: the finding in words.
    """

    name: str
    level: Level
    count: int
    of: int
    sentence: str

    @property
    def share(self) -> float:
        """Count over how many were looked at."""
        return self.count / self.of if self.of else 0.0


def leak_checks(interactions: pl.DataFrame, repeats: bool = False, shuffled: bool = True) -> list[Check]:
    """What the test part has in common with what is known before it; nothing where nothing tests.

    Args:
        interactions: `user_idx`, `item_idx`, `time`, `part`, sorted by user and time.
        repeats: whether an item of the history may be right; else such targets are dropped and not judged.
        shuffled: whether events of one time stamp were put in random order; else they stand as in the file.
    """
    rows = interactions.select("user_idx", "item_idx", "time", "part").with_row_index("row")
    targets = rows.filter(pl.col("part") == TEST)
    if targets.is_empty():
        return []
    asked = targets.group_by("user_idx").agg(first=pl.col("row").first(), moment=pl.col("time").first())
    known = rows.join(asked, on="user_idx").filter((pl.col("row") < pl.col("first")) | (pl.col("part") == TRAIN))
    # Without a clock the order of the rows is all there is.
    late = (pl.col("time") > pl.col("moment")).fill_null(pl.col("row") > pl.col("first"))
    n_late = known.filter(late)["user_idx"].n_unique()
    n_seen = len(targets.join(known, on=["user_idx", "item_idx"], how="semi"))
    n_same = len(targets.join(known, on=["user_idx", "item_idx", "time"], how="semi"))
    newest = interactions.filter(pl.col("part") == TRAIN)["time"].max()
    n_older = 0 if newest is None else len(asked.filter(pl.col("moment") < newest))
    before = known.filter(pl.col("row") + 1 == pl.col("first"))
    n_tied, n_clocked = len(before.filter(pl.col("time") == pl.col("moment"))), len(before.drop_nulls(["time", "moment"]))
    tied = f"{_of(n_tied, n_clocked, 'test targets')} share their time stamp with the event before"
    if not n_clocked:
        tied = "no query has a clock: order is that of the file"
    elif n_tied:
        tied += f": order within is {'shuffled' if shuffled else 'that of the file'}"
    return [
        Check(
            "learnt after the target", _level(n_late, len(asked)), n_late, len(asked),
            f"{_of(n_late, len(asked), 'test users')} have events in training or in their history that are later than their target",
        ),
        Check(
            "one event on both sides", _level(n_same, len(targets)) if repeats else _note(n_same), n_same, len(targets),
            f"{_of(n_same, len(targets), 'test targets')} have a copy, of the same user, item and time, in what is known before"
            + ("" if repeats or not n_same else ": dropped, not judged"),
        ),
        Check(
            "target seen before", _note(n_seen), n_seen, len(targets),
            f"{_of(n_seen, len(targets), 'test targets')} are of an item that their user had before"
            + ("" if not n_seen else ": repeats are allowed" if repeats else ": dropped, not judged"),
        ),
        Check(
            "others' future in training", _note(n_older), n_older, len(asked),
            f"{_of(n_older, len(asked), 'test targets')} are older than the newest training event of somebody else"
            + (": what became popular since is known; data.split.use=global_time does not have this" if n_older else ""),
        ),
        Check(
            "tied with the event before", _note(n_tied), n_tied, n_clocked,
            tied,
        ),
    ]  # fmt: skip


def _level(count: int, of: int) -> Level:
    return "leak" if count > SMALL * of else _note(count)


def _note(count: int) -> Level:
    return "note" if count else "ok"


def _of(count: int, total: int, what: str) -> str:
    if not count:
        return f"none of {total:,} {what}"
    return f"{100 * count / total:.0f} % of {what} ({count:,} of {total:,})"
