"""The items browser: the catalogue that the engine holds, searched by words; one item, how it does and what is like it."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime

import numpy as np

from genre.dashboard.charts import Chart, Series
from genre.dashboard.desk import Desk
from genre.dashboard.frame import in_address
from genre.dashboard.items import IMAGES, Item, ItemLine, ItemsView, picture
from genre.dashboard.lists import Shown
from genre.dashboard.live.sample import Sample, newest
from genre.serving.contract import ItemIn
from genre.serving.engine import BundleEngine
from genre.serving.store import catalogue as told

PAGE = 25
NEAREST = 10
DAYS = 30
SEEN = 5000
"""Newest lists, and events, that an item's figures are of."""


def fill(desk: Desk) -> ItemsView:
    """An item, or a page of those found."""
    sample = desk.read(lambda connection: newest(connection, time.time() - DAYS * 86_400, SEEN))
    if desk["item"]:
        item = _item(desk, desk["item"], sample)
        return ItemsView(desk.frame(), desk["item"], item)
    query, start = desk["query"], max(0, int(desk["start"])) if desk["start"].isdecimal() else 0
    ids = found(desk, query)
    shown, clicks = _counts(sample)
    lines = tuple(ItemLine(item, desk.title(item), shown[item], clicks[item], _available(desk, item)) for item in ids[start : start + PAGE])
    more = f"/dashboard/items?query={in_address(query)}&start={start + PAGE}" if start + PAGE < len(ids) else ""
    of = f"the newest {len(sample.lists):,} lists" if sample.cut else f"the last {DAYS} days"
    return ItemsView(desk.frame(), query, None, lines, len(ids), more, of)


def found(desk: Desk, query: str) -> list[str]:
    """Ids of the items whose title has all the words, the one with this id first; all of them without a query."""
    engine = desk.bundled
    if engine is None:
        changes = desk.read(lambda connection: list(told.all_items(connection)))
        return sorted(change.item_id for change in changes if change.item is not None)
    catalogue, words = engine.world.catalogue, query.casefold().split()
    n = catalogue.n
    exact = [query] if query in catalogue.index else []
    titled = (catalogue.ids[i] for i, title in enumerate(catalogue.shown[:n]) if i not in catalogue.deleted and holds(title, words))
    return [*exact, *(item for item in titled if item != query)]


def holds(title: str, words: list[str]) -> bool:
    """Whether a title has all the words."""
    title = title.casefold()
    return all(word in title for word in words)


def _available(desk: Desk, item_id: str) -> bool:
    known = None if desk.engine is None else desk.engine.item(item_id)
    return known is not None and known.available


def _counts(sample: Sample) -> tuple[Counter[str], Counter[str]]:
    shown = Counter(item for row in sample.lists for item in row["item_ids"])
    return shown, Counter(event["item_id"] for event in sample.events if event["type"] == "click")


def _item(desk: Desk, item_id: str, sample: Sample) -> Item | None:
    known = None if desk.engine is None else desk.engine.item(item_id)
    if known is None:
        return None
    shown, clicks = (counted[item_id] for counted in _counts(sample))
    counts = [(f"shown, last {DAYS} days", float(shown)), ("clicks", float(clicks))]
    engine = desk.bundled
    if engine is not None:
        i = engine.world.catalogue.index[item_id]
        counts.append(("interactions in training", float(engine.world.popular.values[i])))
    attributes = tuple((name, _said(value)) for name, value in known.attributes.items() if name not in IMAGES)
    return Item(
        item_id, desk.title(item_id), picture(known.attributes), known.available, attributes, _text(engine, known), tuple(counts),
        _course(item_id, sample), _nearest(desk, engine, item_id),
    )  # fmt: skip


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)


def _text(engine: BundleEngine | None, item: ItemIn) -> str:
    return "" if engine is None else str(engine.world.encodings.frame(item.item_id, item.attributes)["text"][0] or "")


def _course(item_id: str, sample: Sample) -> Chart | None:
    """Day by day; nothing where it was neither shown nor clicked."""
    times = [[row["time"] for row in sample.lists if item_id in row["item_ids"]]]
    times.append([event["time"] for event in sample.events if event["item_id"] == item_id and event["type"] == "click"])
    if not any(times):
        return None
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    edges = today - 86_400.0 * np.arange(DAYS - 1, -2, -1)
    counted = [tuple(np.histogram(of, edges)[0].astype(float).tolist()) for of in times]
    series = [Series("shown", counted[0]), Series("clicks", counted[1])]
    return Chart(f"How often {item_id} was shown and clicked, by day", tuple(edges[:-1].tolist()), tuple(series))


def _nearest(desk: Desk, engine: BundleEngine | None, item_id: str) -> tuple[Shown, ...]:
    """By the first encoder's vectors; nothing where there are none, or the item says nothing."""
    rows = None if engine is None else engine.world.encodings.vectors
    if engine is None or rows is None:
        return ()
    catalogue = engine.world.catalogue
    i = catalogue.index[item_id]
    if i >= rows.n or not (vector_D := rows.take(np.array([i]))[0]).any():
        return ()
    close_N = rows.dot(vector_D, min(catalogue.n, rows.n))
    close_N[[i, *(gone for gone in catalogue.deleted if gone < len(close_N))]] = -np.inf
    best = np.argsort(-close_N, kind="stable")[:NEAREST]
    ids = [catalogue.ids[k] for k in best.tolist()]
    items = [engine.item(one) for one in ids]
    images = [None if item is None else picture(item.attributes) for item in items]
    return tuple(
        Shown(rank, one, desk.title(one), float(close_N[k]), "", image)
        for rank, (one, k, image) in enumerate(zip(ids, best.tolist(), images, strict=True), 1)
    )
