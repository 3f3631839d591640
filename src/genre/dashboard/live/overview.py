"""The overview from the newest lists, events and traces."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from genre.dashboard.charts import Chart, Series
from genre.dashboard.desk import Desk, models_now
from genre.dashboard.frame import count, milliseconds, percent
from genre.dashboard.live.drift import drift
from genre.dashboard.live.sample import Sample, newest
from genre.dashboard.overview import Alert, OverviewView, StageLine, SurfaceLine, Tile
from genre.serving.store.exposures import unpacked
from genre.serving.store.schema import traces

WINDOWS = {"1 hour": 3600.0, "24 hours": 86_400.0, "7 days": 7 * 86_400.0, "30 days": 30 * 86_400.0}
BUCKETS = 48
TRACES = 300
"""Newest traces that stages are timed by."""
MUCH_DEGRADED = 0.01
MANY_WAIT = 1000
"""Lists not logged yet: more means that the store cannot keep up."""


def fill(desk: Desk) -> OverviewView:
    """How it went in a window of time."""
    window = desk["window"] if desk["window"] in WINDOWS else "24 hours"
    now = time.time()
    sample, told, (roles, _) = desk.read(
        lambda connection: (newest(connection, now - WINDOWS[window]), _told(connection), models_now(connection))
    )
    alerts = _alerts(desk, sample, roles.current)
    if not sample.lists and not sample.events:
        return OverviewView(desk.frame(), tuple(WINDOWS), window, alerts=alerts)
    size = _size(desk)
    edges = np.linspace(sample.since if sample.cut else now - WINDOWS[window], now, BUCKETS + 1)
    return OverviewView(
        desk.frame(), tuple(WINDOWS), window, _tiles(sample, size), alerts, _traffic(sample, edges), _latency(sample, edges),
        _stages(desk, told), _surfaces(sample, size), drift(desk.bundled, sample),
    )  # fmt: skip


def _told(connection: sa.Connection) -> list[dict[str, Any]]:
    chosen = sa.select(traces.c.trace).order_by(traces.c.time.desc()).limit(TRACES)
    return [unpacked(packed) for packed in connection.execute(chosen).scalars()]


def _size(desk: Desk) -> int:
    return 0 if desk.bundled is None else int(desk.bundled.world.catalogue.n)


def _tiles(sample: Sample, size: int) -> tuple[Tile, ...]:
    lists, took = sample.lists, [row["ms"] for row in sample.lists if row["ms"] is not None]
    degraded = share([bool(row["degraded"]) for row in lists])
    shown = {item for row in lists for item in row["item_ids"]}
    clicks = len({row["request_id"] for row in lists} & sample.clicked())
    tiles = [
        Tile("lists shown", count(len(lists)), "the newest; there were more" if sample.cut else ""),
        Tile("events", count(len(sample.events))),
        Tile("lists with a click", percent(clicks / len(lists)) if lists else "–"),
        Tile("users and sessions", count(len({row["unit"] for row in lists}))),
        Tile("catalogue shown", percent(len(shown) / size) if size else count(len(shown))),
        Tile("p99 latency", milliseconds(float(np.quantile(took, 0.99))) if took else "–"),
        Tile("degraded", percent(degraded), *(("more than 1 %", "bad") if (degraded or 0) > MUCH_DEGRADED else ("", "idle"))),
    ]  # fmt: skip
    return tuple(tiles)


def _alerts(desk: Desk, sample: Sample, current: str | None) -> tuple[Alert, ...]:
    found = []
    serving = desk.project.serving
    if serving is None:
        found.append(Alert("No model answers yet: publish a run and promote it.", "bad", "/dashboard/models"))
    elif current != serving.model:
        found.append(
            Alert(f"{current} should answer, but {serving.model} does: it is being loaded, or could not be.", "warn", "/dashboard/models")
        )
    degraded = share([bool(row["degraded"]) for row in sample.lists]) or 0.0
    if degraded > MUCH_DEGRADED:
        stage, n = Counter(stage for row in sample.lists for stage in row["degraded"]).most_common(1)[0]
        found.append(
            Alert(
                f"{percent(degraded)} of lists are degraded, most often by the stage {stage} ({n:,} times).", "warn", "/dashboard/requests"
            )
        )
    if sample.lists and not sample.clicked():
        found.append(
            Alert("Lists are shown, but no click names one: send events with the request_id of the answer.", "warn", "/dashboard/data")
        )
    if (waiting := len(desk.project.shown)) > MANY_WAIT:
        found.append(Alert(f"{waiting:,} lists wait to be logged: the store is slow or away.", "bad", "/dashboard/operations"))
    return tuple(found)


def _traffic(sample: Sample, edges: np.ndarray) -> Chart:
    lists, happened = (np.histogram([row["time"] for row in rows], edges)[0] for rows in (sample.lists, sample.events))
    series = (Series("lists", tuple(map(float, lists))), Series("events", tuple(map(float, happened))))
    return Chart("Lists shown and events received over time", tuple(map(float, edges[:-1])), series)


def _latency(sample: Sample, edges: np.ndarray) -> Chart:
    timed = [(row["time"], row["ms"]) for row in sample.lists if row["ms"] is not None]
    times, took = np.array([moment for moment, _ in timed]), np.array([ms for _, ms in timed])
    bucket = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, BUCKETS - 1)
    groups = [took[bucket == at] for at in range(BUCKETS)]
    series = tuple(
        Series(name, tuple(float(np.quantile(group, q)) if len(group) else None for group in groups))
        for name, q in (("median", 0.5), ("p95", 0.95), ("p99", 0.99))
    )
    return Chart("Milliseconds of an answer over time", tuple(map(float, edges[:-1])), series, "ms")


def _stages(desk: Desk, told: Sequence[dict[str, Any]]) -> tuple[StageLine, ...]:
    """Times of stages are of the newest traces; a deadline is the whole list's."""
    took, failed = defaultdict(list), Counter[str]()
    for trace in told:
        spent, broken = trace["ms"], trace["degraded"]
        for stage, ms in spent.items():
            took[stage].append(ms)
        failed.update(list(broken))
    deadlines = [] if desk.bundled is None else [one.settings.deadline_ms for one in desk.bundled.placements.values()]
    longest: dict[str, float] = max((trace["ms"] for trace in told), key=len, default={})
    order = sorted(took, key=lambda stage: (stage == "total", list(longest).index(stage) if stage in longest else len(longest)))
    lines = []
    for stage in order:
        times = took[stage]
        p50, p95, p99 = (float(at) for at in np.quantile(times, (0.5, 0.95, 0.99)))
        lines.append(StageLine(stage, p50, p95, p99, failed[stage] / len(told), min(deadlines, default=None) if stage == "total" else None))
    lines += [StageLine(stage, None, None, None, n / len(told)) for stage, n in failed.items() if stage not in took]
    return tuple(lines)


def _surfaces(sample: Sample, size: int) -> tuple[SurfaceLine, ...]:
    clicked, groups = sample.clicked(), defaultdict(list)
    for row in sample.lists:
        groups[row["surface"]].append(row)
    return tuple(
        SurfaceLine(
            name, len(rows), share([row["request_id"] in clicked for row in rows]), share([bool(row["degraded"]) for row in rows]),
            len({item for row in rows for item in row["item_ids"]}) / size if size else None,
        )
        for name, rows in sorted(groups.items())
    )  # fmt: skip


def share(flags: Sequence[bool]) -> float | None:
    """Of those that are true; None of none."""
    return sum(flags) / len(flags) if flags else None
