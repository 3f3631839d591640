"""Checks before training: what in somebody's log would make figures wrong, models worse or people wonder."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl

from genre.data import checks_items, checks_time
from genre.data.findings import Finding, Log, of_all, percent, several
from genre.data.leaks import leak_checks

SEVERITIES = ("error", "warning", "note")
LONG = 10
"""Items that two users must share, and have no others, to be taken for one user."""
LEAKS = {
    "learnt after the target": "the split does not follow time: split by time, or correct sessions whose times overlap",
    "one event on both sides": "drop copies of one action, or leave out whole sessions: data.split.unit=session",
}
"""What to do about each."""
PER_MINUTE = 40
"""Distinct moments of activity within one minute that no person reaches."""


def check(interactions: pl.DataFrame | pl.LazyFrame, items: pl.DataFrame | None, now: float) -> list[Finding]:
    """Look for everything known to go wrong; errors first, then warnings, then notes.

    Args:
        interactions: columns of `readers.EVENTS`, in file order.
        items: `item_id` and the rendered `text` of the catalogue; None if there is no catalogue.
        now: unix seconds; whatever happened later did not happen.
    """
    log = Log.of(interactions, items, now)
    if not len(log.events):
        return [Finding("error", "empty", "there is no interaction at all", 0, 0.0, (), "look at the file and at the rejected rows")]
    found = [finding for one in CHECKS if (finding := one(log)) is not None]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def leaks(interactions: pl.DataFrame, repeats: bool) -> list[Finding]:
    """What the split lets a model know that it should not; see `leak_checks`."""
    return [
        Finding("error", "leak", f"{each.name}: {each.sentence}", each.count, each.share, (), LEAKS[each.name])
        for each in leak_checks(interactions, repeats)
        if each.level == "leak"
    ]


def duplicate_rows(log: Log) -> Finding | None:
    """Rows that are the same in every column."""
    total = len(log.events)
    count = total - log.events["row"].n_unique()
    if not count:
        return None
    worst = log.events.lazy().filter(pl.col("row").is_duplicated()).head(5).collect(engine="streaming")["user"]
    return Finding(
        "warning" if count > total / 100 else "note",
        "duplicate_rows",
        f"{several(count, 'row repeats', 'rows repeat')} another row in every column ({percent(count / total)})",
        count,
        count / total,
        log.users(dict.fromkeys(worst)),
        "if one action was exported twice, drop the copies; lines of one basket may be meant",
    )


def single_interaction_users(log: Log) -> Finding | None:
    """Users of whom one interaction is known: nothing to learn a sequence from, nothing to test on."""
    counts = log.events.group_by("user").len()
    single = counts.filter(pl.col("len") == 1).sort("user")["user"]
    share = len(single) / len(counts)
    if share < 0.01:
        return None
    return Finding(
        "warning" if share > 0.5 else "note",
        "single_interaction_users",
        f"{of_all(len(single), len(counts), 'users', 'has', 'have')} one interaction only",
        len(single),
        share,
        log.users(single),
        "they are trained on but cannot be tested by leave_last_out; if they are many, look whether ids change between visits",
    )


def hyperactive_users(log: Log) -> Finding | None:
    """Users with many times more events than the others: robots, shared accounts, test scripts."""
    counts = log.events.group_by("user").len().with_columns(log=pl.col("len").log())
    middle = counts["log"].median()
    spread = (counts["log"] - middle).abs().median()
    assert isinstance(middle, float) and isinstance(spread, float)
    # Six robust standard deviations of log(count); activity is roughly log-normal. 0.5: where nearly all have the same count.
    limit = max(100.0, math.exp(middle + 6 * 1.4826 * max(spread, 0.5)))
    heavy = counts.filter(pl.col("len") > limit).sort("len", descending=True)
    if heavy.is_empty():
        return None
    rows = int(heavy["len"].sum())
    return Finding(
        "warning",
        "hyperactive_users",
        f"{several(len(heavy), 'user has', 'users have')} more than {limit:,.0f} events (the median user has {math.exp(middle):,.0f}); "
        f"that is {percent(rows / len(log.events))} of all events",
        len(heavy),
        len(heavy) / len(counts),
        log.users(heavy["user"]),
        "leave out robots and test accounts before training",
    )


def too_fast_users(log: Log) -> Finding | None:
    """Users who act at more moments a minute than a person can."""
    active = log.events.lazy().group_by("user").agg(pl.len()).filter(pl.col("len") > PER_MINUTE).select("user")
    minutes = (
        log.events.lazy()
        .filter(pl.col("time").is_not_null())
        .join(active, on="user", how="semi")
        .group_by("user", minute=(pl.col("time") // 60))
        .agg(moments=pl.col("time").n_unique())
        .filter(pl.col("moments") > PER_MINUTE)
        .group_by("user")
        .agg(pl.col("moments").max())
        .sort("moments", descending=True)
        .collect(engine="streaming")
    )
    if minutes.is_empty():
        return None
    return Finding(
        "warning",
        "too_fast_users",
        f"{several(len(minutes), 'user acts', 'users act')} more than {PER_MINUTE} times within one minute "
        f"(the fastest {minutes['moments'][0]:,} times)",
        len(minutes),
        len(minutes) / len(log.user_ids),
        log.users(minutes["user"]),
        "most likely robots or scripts: leave them out before training",
    )


def duplicated_users(log: Log) -> Finding | None:
    """Users with the same long history: one person under two ids, who would be in training and test at once."""
    # Two sums of hashes do not depend on the order and are never equal by chance.
    same = (
        log.events.lazy()
        .unique(["user", "item"])
        .with_columns(a=pl.col("item").hash(1), b=pl.col("item").hash(2))
        .group_by("user")
        .agg(pl.len(), pl.col("a", "b").sum())
        .filter(pl.col("len") >= LONG)
        .sort("user")
        .group_by("len", "a", "b", maintain_order=True)
        .agg(pl.col("user"))
        .filter(pl.col("user").list.len() > 1)
        .collect(engine="streaming")
    )
    if same.is_empty():
        return None
    count = int(same["user"].list.len().sum()) - len(same)
    pairs = (f"{self} = {twin}" for self, twin, *_ in (log.users(group) for group in same["user"].head(5).to_list()))
    return Finding(
        "warning",
        "duplicated_users",
        f"{several(count, 'user has', 'users have')} exactly the items of another user ({LONG} or more)",
        count,
        count / len(log.user_ids),
        tuple(pairs),
        "merge ids of one person; otherwise a test user's future may be in another's training history",
    )


CHECKS: tuple[Callable[[Log], Finding | None], ...] = (
    duplicate_rows,
    checks_time.no_clock,
    checks_time.wrong_unit,
    checks_time.future,
    checks_time.before_the_web,
    checks_time.constant,
    checks_time.coarse,
    checks_time.simultaneous,
    checks_time.ties_at_the_end,
    checks_time.ordered_by_id,
    single_interaction_users,
    hyperactive_users,
    too_fast_users,
    duplicated_users,
    checks_items.unknown_items,
    checks_items.without_text,
    checks_items.duplicate_texts,
    checks_items.never_touched,
    checks_items.skewed,
    checks_items.cold_lately,
    checks_items.counted_in_the_log,
)
