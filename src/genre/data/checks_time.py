"""Checks of the clock: units, dates posing as times, the future, and order that is not really known."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import polars as pl

from genre.data.findings import Finding, Log, percent, several

DAY = 86_400.0
MILLISECONDS = 1e11
"""More seconds than that is the year 5138: the unit is another."""
OLD = 631_152_000.0
"""1990-01-01: nobody logged clicks before."""


def no_clock(log: Log) -> Finding | None:
    """Rows without a time."""
    missing = len(log.events) - len(log.clock)
    share = missing / len(log.events)
    if not missing:
        return None
    if share == 1.0:
        what, advice = "no interaction has a time", "the order within a user is that of the file; name a time column if there is one"
    else:
        what = f"{several(missing, 'interaction has', 'interactions have')} no time ({percent(share)}) while the others do"
        advice = "they count as older than everything else of their user; fill the times or drop the rows"
    rows = log.events.lazy().filter(pl.col("time").is_null()).head(50).collect()["user"]
    return Finding("note" if share == 1.0 else "warning", "no_clock", what, missing, share, log.users(dict.fromkeys(rows)), advice)


def wrong_unit(log: Log) -> Finding | None:
    """Milliseconds (or finer) taken for seconds."""
    return _outside(
        log, pl.col("time") > MILLISECONDS, "wrong_unit", "is beyond the year 5000",
        "milliseconds or microseconds were read as seconds: set data.reader.time_format",
    )  # fmt: skip


def future(log: Log) -> Finding | None:
    """Events of tomorrow and later; one day is allowed for time zones."""
    late = (pl.col("time") > log.now + DAY) & (pl.col("time") <= MILLISECONDS)
    return _outside(log, late, "future", f"is after today, {_date(log.now)}", "a wrong clock or a time zone: correct or drop them")


def before_the_web(log: Log) -> Finding | None:
    """Zeros, and dates of birth."""
    return _outside(
        log, pl.col("time") < OLD, "before_the_web", "is before 1990",
        "zero or a default stands for an unknown time, or the unit is wrong: leave the time empty, or set data.reader.time_format",
    )  # fmt: skip


def constant(log: Log) -> Finding | None:
    """One time for all: the moment of an export, not of the events."""
    if len(log.clock) < 2 or log.clock.n_unique() > 1:
        return None
    return Finding(
        "error", "constant", f"every interaction has the same time, {_date(float(log.clock[0]))}", len(log.clock), 1.0, (),
        "that is no clock: leave data.reader.columns.time out, or name the column that holds the time of the event",
    )  # fmt: skip


def coarse(log: Log) -> Finding | None:
    """A date where a time was expected."""
    if len(log.clock) < 100 or log.clock.n_unique() < 2:
        return None
    # Two residues are allowed: local midnights move by an hour twice a year.
    for name, width in (("day", DAY), ("hour", 3600.0)):
        if (log.clock % width).n_unique() <= (2 if name == "day" else 1):
            return Finding(
                "warning" if name == "day" else "note", "coarse", f"times tell the {name} only ({log.clock.n_unique():,} distinct)",
                len(log.clock), 1.0, (), f"the order within a {name} is not known; use a finer clock if you have one",
            )  # fmt: skip
    return None


def simultaneous(log: Log) -> Finding | None:
    """The same user, item and time more than once, in rows that are not the same otherwise."""
    key = ["user", "item", "time"]
    rows = log.events.lazy().filter(pl.col("time").is_not_null())
    distinct = rows.select(pl.struct(*key).hash().n_unique().alias("keys"), pl.struct(*key, "row").hash().n_unique().alias("rows"))
    keys, whole = distinct.collect(engine="streaming").row(0)
    count = whole - keys
    if not count:
        return None
    return Finding(
        "note", "simultaneous",
        f"{several(count, 'row repeats', 'rows repeat')} user, item and time of another row, with another event or value", count,
        count / len(log.events), (), "if one action writes several events, keep one kind with data.events",
    )  # fmt: skip


def ties_at_the_end(log: Log) -> Finding | None:
    """Users whose last event shares its time with the one before: which of them is last is not known."""
    ends = (
        log.events.lazy()
        .filter(pl.col("time").is_not_null())
        .group_by("user")
        .agg(pl.len(), tied=(pl.col("time") == pl.col("time").max()).sum())
        .filter(pl.col("len") > 1)
        .select(users=pl.len(), tied=(pl.col("tied") > 1).sum(), who=pl.col("user").filter(pl.col("tied") > 1).bottom_k(5).implode())
        .collect(engine="streaming")
    )
    users, tied, who = ends.row(0)
    if not users or tied / users < 0.01:
        return None
    share = tied / users
    return Finding(
        "warning" if share >= 0.1 else "note",
        "ties_at_the_end",
        f"the last event of {several(tied, 'user', 'users')} ({percent(share)}) has the very time of the one before",
        tied,
        share,
        log.users(who),
        "their order is not known and is shuffled (data.ties); split by session or by global time if order within a sitting matters",
    )


def ordered_by_id(log: Log) -> Finding | None:
    """Simultaneous items in ascending (or descending) order of id: order that is an artefact, and that a model would learn."""
    order = log.events.lazy().select("user", "item", "time").sort("user", maintain_order=True)
    step = pl.col("item").cast(pl.Int64).diff()
    tied = (pl.col("user") == pl.col("user").shift()) & pl.col("time").eq_missing(pl.col("time").shift()) & (step != 0)
    pairs, ascending = order.select(tied.sum().alias("pairs"), (tied & (step > 0)).sum().alias("ascending")).collect().row(0)
    if pairs < 100:
        return None
    share = ascending / pairs
    # Chance would give a half; five standard errors and a tenth away from it is not chance.
    if abs(share - 0.5) < max(0.1, 2.5 / math.sqrt(pairs)):
        return None
    way = "ascending" if share > 0.5 else "descending"
    advice = "the file's order is an artefact there; keep data.ties: shuffle, or figures measure the alphabet"
    if not len(log.clock):
        advice = (
            "without times the file's order is all there is, and it is partly the alphabet: find the times, or distrust sequence models"
        )
    whose = "at one time" if len(log.clock) else "(there is no clock)"
    far = max(share, 1 - share)
    return Finding(
        "warning", "ordered_by_id", f"neighbouring items of a user {whose} stand in {way} order of item id in {percent(far)} of {pairs:,} "
        "cases, where chance gives 50 %", pairs, far, (),
        advice,
    )  # fmt: skip


def _outside(log: Log, where: pl.Expr, name: str, what: str, advice: str) -> Finding | None:
    rows = log.events.lazy().filter(where).select("user", "time")
    count = rows.select(pl.len()).collect().item()
    if not count:
        return None
    head = rows.head(5).collect()
    examples = tuple(f"user {user} at {time:.0f}" for user, time in zip(log.users(head["user"]), head["time"], strict=True))
    share = count / len(log.events)
    told = f"the time of {several(count, 'interaction', 'interactions')} ({percent(share)}) {what}"
    return Finding("error", name, told, count, share, examples, advice)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d") if abs(seconds) < MILLISECONDS else f"{seconds:.0f}"
