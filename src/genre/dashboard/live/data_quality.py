"""Data quality: the snapshot that the run was made from, checked, and what has arrived since."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genre.dashboard.charts import Chart, Series
from genre.dashboard.data_quality import DataQualityView, Finding, Rejected
from genre.dashboard.desk import Desk
from genre.dashboard.frame import count, when
from genre.dashboard.live.sample import newest
from genre.data.checks import check

AT_MOST = 2_000_000
"""Interactions that are checked here; of more, `genre check` is asked on the command line."""
REJECTED = 20
HOURS = 72
TOO_MANY = Finding("note", f"more than {AT_MOST:,} interactions, which are not checked while a server answers", "genre check CONFIG")


def fill(desk: Desk) -> DataQualityView:
    """The snapshot, if its stage is in the run's folder."""
    folder = desk.project.run / "prepare"
    summary_file, rejected_file = folder / "summary.json", folder / "rejected.parquet"
    if not summary_file.is_file():
        return DataQualityView(desk.frame())
    summary = json.loads(summary_file.read_text())
    made = summary_file.stat().st_mtime
    rejected = pl.read_parquet(rejected_file) if rejected_file.is_file() else pl.DataFrame()
    lines = tuple(Rejected(row["file"], row["row"], row["reason"]) for row in rejected.head(REJECTED).iter_rows(named=True))
    return DataQualityView(
        desk.frame(), f"of {when(made)}", facts(summary), _findings(folder, made), lines, len(rejected), _arriving(desk),
    )  # fmt: skip


def facts(summary: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """A summary of `prepare` in words."""
    parts = ", ".join(f"{name} {n:,}" for name, n in summary["parts"].items() if n)
    left_out = ", ".join(f"{reason} {n:,}" for reason, n in summary["left_out"].items() if n)
    found = {
        "users": count(summary["users"]),
        "items": f"{summary['items']:,}, {summary['items_with_text']:,} with text",
        "interactions": f"{summary['interactions']:,}: {parts}",
        "left out": left_out or "none",
        "from": when(summary["first_time"]),
        "until": when(summary["last_time"]),
    }
    return tuple(found.items())


@lru_cache(maxsize=8)
def _findings(folder: Path, made: float) -> tuple[Finding, ...]:
    """What `genre check` finds in the interactions that were kept; remembered until they are `made` anew."""
    events = pl.scan_parquet(folder / "interactions.parquet")
    if events.select(pl.len()).collect().item() > AT_MOST:
        return (TOO_MANY,)
    items = pl.read_parquet(folder / "items.parquet")
    users = pl.read_parquet(folder / "users.parquet", columns=["user_idx", "user_id"])
    named = events.join(users.lazy(), on="user_idx").join(items.lazy().select("item_idx", "item_id"), on="item_idx")
    kept = [name for name in ("user_id", "item_id", "time", "event", "value", "session_id") if name in named.collect_schema()]
    found = check(named.select(kept), items.select("item_id", "text"), time.time())
    return tuple(Finding(one.severity, one.what, one.advice, one.examples) for one in found)


def _arriving(desk: Desk) -> Chart | None:
    now = time.time()
    edges = now - 3600.0 * np.arange(HOURS, -1, -1)
    sample = desk.read(lambda connection: newest(connection, edges[0]))
    if not sample.events:
        return None
    kinds = sorted({event["type"] for event in sample.events})
    series = [
        Series(kind, tuple(np.histogram([one["time"] for one in sample.events if one["type"] == kind], edges)[0].astype(float).tolist()))
        for kind in kinds
    ]
    return Chart(f"Events received, by hour, last {HOURS} hours", tuple(edges[:-1].tolist()), tuple(series))
