"""Reasons: why an item is in a list, in words."""

# L events of a history, K items of a list

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from genre.serving.rules import Place
from genre.serving.sources import Asked

LOOK_BACK = 30


def reasons_of(asked: Asked, places: Sequence[Place], candidates: dict[str, set[int]]) -> list[list[str]]:
    """For each item: the event of the history that its score owes most to, and where the item came from."""
    events = _strongest(asked, np.array([place.item_idx for place in places], np.int64))
    shown = asked.world.catalogue.shown
    found = []
    for place, event in zip(places, events, strict=True):
        words = [f"because of {shown[event]}"] if event is not None else []
        words += ["chosen by hand"] if place.by == "pin" else []
        words += ["matches your words"] if place.item_idx in candidates.get("text", ()) else []
        words += ["popular now"] if place.item_idx in candidates.get("trending", ()) and not words else []
        words += ["new"] if place.item_idx in candidates.get("fresh", ()) and not words else []
        found.append(words)
    return found


def _strongest(asked: Asked, item_idx_K: np.ndarray) -> list[int | None]:
    """For each item, the item of the history without which its score would fall the most; None where none raises it."""
    query = asked.past.query
    length = len(query.item_idx_L)
    if asked.reading is None or not length or not len(item_idx_K):
        return [None] * len(item_idx_K)
    base_K = asked.reading.at(item_idx_K)
    first = max(0, length - LOOK_BACK)
    falls = []
    for event in range(first, length):
        without = replace(query, item_idx_L=np.delete(query.item_idx_L, event), time_L=np.delete(query.time_L, event))
        falls.append(base_K - asked.world.scorer.read(without, asked.n).at(item_idx_K))
    fall_LK = np.stack(falls)
    best = fall_LK.argmax(axis=0)
    return [int(query.item_idx_L[first + e]) if fall_LK[e, i] > 0 else None for i, e in enumerate(best.tolist())]
