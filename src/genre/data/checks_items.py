"""Checks of the catalogue against the log: ids that do not meet, texts that say nothing, items too hot or too new."""

from __future__ import annotations

import polars as pl

from genre.data.findings import EXAMPLES, Finding, Log, of_all, percent

COMPUTED = 0.95
"""Rank correlation with the log that no column reaches by itself."""
FEWEST, DISTINCT = 30, 10
"""Items, and values among them, without which a correlation says nothing."""


def unknown_items(log: Log) -> Finding | None:
    """Items in the log that the catalogue does not have."""
    if log.items is None:
        return None
    known = log.item_ids.is_in(log.items["item_id"].implode())
    missing = log.item_ids.filter(~known)
    if missing.is_empty():
        return None
    codes = (~known).arg_true().cast(pl.UInt32)
    rows = log.events.lazy().select(pl.col("item").is_in(codes.implode()).sum()).collect(engine="streaming").item()
    share = len(missing) / len(log.item_ids)
    advice = "they keep their clicks but have no text; export the whole catalogue, also what is sold out"
    bare = log.items["item_id"].str.strip_chars_start("0")
    if share > 0.5 and missing.str.strip_chars_start("0").is_in(bare.implode()).mean() > 0.5:  # type: ignore[operator]
        advice = "the ids differ in leading zeros: one of the files was written from numbers; export ids as text"
    elif share > 0.5:
        advice = "the ids of the two files hardly meet: look at data.reader.item_id and data.reader.columns.item"
    return Finding(
        "error" if share > 0.5 else "warning",
        "unknown_items",
        f"{of_all(len(missing), len(log.item_ids), 'items in the log', 'is', 'are')} not in the catalogue; "
        f"they make {percent(rows / len(log.events))} of interactions",
        len(missing),
        share,
        tuple(missing.head(EXAMPLES)),
        advice,
    )


def without_text(log: Log) -> Finding | None:
    """Items whose text is empty."""
    if log.items is None or log.items.is_empty():
        return None
    silent = log.items.filter(pl.col("text").fill_null("").str.strip_chars() == "")["item_id"]
    share = len(silent) / len(log.items)
    if silent.is_empty():
        return None
    return Finding(
        "note" if share < 0.05 else "warning",
        "without_text",
        f"{of_all(len(silent), len(log.items), 'items', 'has', 'have')} no text",
        len(silent),
        share,
        tuple(silent.head(EXAMPLES)),
        "content can say nothing about them: add columns to data.text, or fill them at the source",
    )


def duplicate_texts(log: Log) -> Finding | None:
    """Items that content cannot tell apart."""
    if log.items is None or log.items.is_empty():
        return None
    speaking = log.items.filter(pl.col("text").fill_null("").str.strip_chars() != "")
    count = len(speaking) - speaking["text"].n_unique()
    share = count / len(log.items)
    if share < 0.01:
        return None
    twins = speaking.filter(pl.col("text").is_duplicated()).sort("text", "item_id")["item_id"]
    return Finding(
        "note" if share < 0.2 else "warning",
        "duplicate_texts",
        f"{of_all(count, len(log.items), 'items', 'has', 'have')} the very text of another item",
        count,
        share,
        tuple(twins.head(EXAMPLES)),
        "content cannot tell them apart: add what differs (brand, size, colour) to data.text, or merge variants of one product",
    )


def never_touched(log: Log) -> Finding | None:
    """Items of the catalogue that nobody interacted with."""
    if log.items is None or log.items.is_empty():
        return None
    cold = log.items.filter(~pl.col("item_id").is_in(log.item_ids.implode()))["item_id"]
    share = len(cold) / len(log.items)
    if share < 0.05:
        return None
    return Finding(
        "note",
        "never_touched",
        f"{of_all(len(cold), len(log.items), 'items', 'has', 'have')} no interaction",
        len(cold),
        share,
        tuple(cold.head(EXAMPLES)),
        "only a ranker that reads content can recommend them; leave out what cannot be had any more",
    )


def skewed(log: Log) -> Finding | None:
    """So few items take so many events that figures are about them alone."""
    counts = log.events.group_by("item").len().sort("len", descending=True)
    total = len(log.events)
    top = counts["len"][0] / total
    head = counts.head(max(1, len(counts) // 100))
    share = int(head["len"].sum()) / total
    if len(counts) < 20 or (top < 0.2 and (share < 0.6 or len(counts) < 500)):
        return None
    what = (
        f"one item takes {percent(top)} of all interactions"
        if top >= 0.2
        else f"1 % of the items ({len(head):,}) take {percent(share)} of all interactions"
    )
    return Finding(
        "warning" if top >= 0.2 else "note", "skewed", what, len(head), max(top, share), log.item_names(head["item"]),
        "see whether these are products at all (a bag, shipping, a landing page), and read coverage and tail figures beside accuracy",
    )  # fmt: skip


def cold_lately(log: Log) -> Finding | None:
    """How much of the newest tenth of the log is about items that did not exist before it."""
    if len(log.clock) < 1000 or log.clock.n_unique() < 20:
        return None
    newest = log.clock.quantile(0.9, "higher")
    lately = (
        log.events.lazy()
        .filter(pl.col("time").is_not_null())
        .group_by("item")
        .agg(first=pl.col("time").min(), late=(pl.col("time") >= newest).sum())
        .filter(pl.col("late") > 0)
        .select(
            rows=pl.col("late").sum(),
            cold=pl.col("late").filter(pl.col("first") >= newest).sum(),
            items=(pl.col("first") >= newest).sum(),
            who=pl.col("item").filter(pl.col("first") >= newest).bottom_k(EXAMPLES).implode(),
        )
        .collect(engine="streaming")
    )
    rows, cold, items, who = lately.row(0)
    share = cold / rows
    if share < 0.1:
        return None
    return Finding(
        "warning" if share >= 0.3 else "note", "cold_lately", f"{percent(share)} of the newest tenth of interactions are with items that "
        f"appear there first ({items:,} items)", items, share, log.item_names(who),
        "ids alone cannot recommend them: use text, and train often",
    )  # fmt: skip


def counted_in_the_log(log: Log) -> Finding | None:
    """Columns of the catalogue that were computed from this very log: how often an item occurs, or its mean value."""
    if log.items is None:
        return None
    numbers = [name for name, kind in log.items.schema.items() if kind.is_numeric() and name not in ("item_id", "text")]
    named = pl.DataFrame({"item_id": log.item_ids}).with_row_index("item")
    standing = log.events.group_by("item").agg(count=pl.len(), value=pl.col("value").mean()).join(named, on="item")
    told: dict[str, str] = {}
    for name in numbers:
        for what, words in (("count", "how often items occur"), ("value", "the mean value of items")):
            both = log.items.select("item_id", column=name).join(standing, on="item_id").select("column", what).drop_nulls()
            if len(both) < FEWEST or min(both["column"].n_unique(), both[what].n_unique()) < DISTINCT:
                continue
            alike = both.select(pl.corr("column", what, method="spearman")).item()
            if alike > COMPUTED:
                told[name] = f"{name} goes with {words} in this log (rank correlation {alike:.2f})"
    if not told:
        return None
    return Finding(
        "warning", "counted_in_the_log", f"leak: {'; '.join(told.values())}", len(told), len(told) / len(numbers), tuple(told),
        "it was computed from what is to be predicted: keep it out of data.text, encoders and policies, or compute it from older events",
    )  # fmt: skip
