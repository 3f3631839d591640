"""Drift: how far what people do now has moved from what the model was trained on."""

# N items, G groups

from __future__ import annotations

import numpy as np

from genre.bundle import user_keys
from genre.dashboard.frame import State
from genre.dashboard.live.sample import Sample
from genre.dashboard.overview import Drift
from genre.serving.contract import SILENT
from genre.serving.engine import BundleEngine
from genre.types import Floats, Ints

GROUPS = 10
FEW = 200
"""Events below which nothing is said: the distance of so few from anything is chance."""
MOVING, FAR = 0.1, 0.25


def drift(engine: BundleEngine | None, sample: Sample) -> tuple[Drift, ...]:
    """Three distances from 0 to 1; none where the engine cannot be looked into."""
    done = [event for event in sample.events if event["item_id"] is not None and event["type"] not in SILENT]
    if engine is None or not done:
        return ()
    world = engine.world
    count_N = world.popular.values.first(world.catalogue.n)
    item_E = world.catalogue.find((event["item_id"] for event in done), len(count_N))
    seen_E = item_E[count_N[item_E] > 0]
    users = sorted({event["unit"].removeprefix("user:") for event in done if event["unit"].startswith("user:")})
    found = {
        "which items people touch, by popularity": moved(count_N, seen_E) if len(seen_E) else None,
        "events on items that nobody had touched in training": 1 - len(seen_E) / len(done),
        "users that were not there in training": float(1 - np.isin(user_keys(users), world.snapshot.key_U).mean()) if users else None,
    }
    return tuple(Drift(what, at, state(at, len(done))) for what, at in found.items() if at is not None)


def moved(count_N: Floats, item_E: Ints) -> float:
    """Total variation between the training data and new events, over groups of items that each had a tenth of the interactions.

    Half the sum of the differences of shares: 0 where the same tenths are touched as often, 1 where only what nobody touched is.
    """
    order_N = np.argsort(-count_N, kind="stable")
    below_N = np.cumsum(count_N[order_N]) - count_N[order_N]
    group_N = np.empty(len(count_N), np.int64)
    group_N[order_N] = np.minimum((GROUPS * below_N / max(count_N.sum(), 1)).astype(np.int64), GROUPS - 1)
    then_G = np.bincount(group_N, count_N, GROUPS) / max(count_N.sum(), 1)
    now_G = np.bincount(group_N[item_E], minlength=GROUPS) / len(item_E)
    return float(np.abs(then_G - now_G).sum() / 2)


def state(distance: float, n: int) -> State:
    """For the badge."""
    return "idle" if n < FEW else "good" if distance < MOVING else "warn" if distance < FAR else "bad"
