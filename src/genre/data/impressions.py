"""Impressions: what was shown, as lists with the history each was asked for with."""

# I lists, E entries of all lists

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from genre.data.dataset import Dataset
from genre.data.splitting import TRAIN
from genre.types import Impressions

KEYS = ("request_id", "user_id", "time", "item_id", "position", "propensity")
"""Columns that are neither labels nor context."""
LABELS = {"clicked": "click"}
"""Columns whose task has another name."""


def training_impressions(dataset: Dataset) -> Impressions | None:
    """The lists shown before each user's held-out part begins; None if none were logged.

    Number and truth columns (`clicked`, `purchased`, `dwell`) are labels, by the names of the tasks: `clicked` is `click`, the others are
    called as they are. Text columns (`device`, `surface`) are context.
    """
    if dataset.impressions is None:
        return None
    held = dataset.interactions.filter(pl.col("part") != TRAIN).group_by("user_idx").agg(until=pl.col("time").min())
    users = dataset.users.select("user_id", "user_idx").join(held, on="user_idx", how="left")
    shown = dataset.impressions.join(users.lazy(), on="user_id", how="inner", maintain_order="left")
    shown = shown.filter(pl.col("until").is_null() | (pl.col("time") < pl.col("until"))).drop("user_idx", "until")
    return impressions_of(dataset, shown.collect())


def impressions_of(dataset: Dataset, shown: pl.DataFrame) -> Impressions:
    """Logged lists with the histories that came strictly before them (events without a clock count as before), in order of time.

    Entries whose user or item the dataset does not know are left out.
    """
    shown = shown.join(dataset.items.select("item_id", "item_idx"), on="item_id", how="inner", maintain_order="left")
    shown = shown.join(dataset.users.select("user_id", "user_idx"), on="user_id", how="inner", maintain_order="left")
    shown = shown.sort("time", "request_id", "position", maintain_order=True)
    new = (shown["request_id"] != shown["request_id"].shift()).fill_null(True).to_numpy()
    first = np.flatnonzero(new)
    offsets = np.append(first, len(shown)).astype(np.int64)
    user_I, now_I = shown["user_idx"].to_numpy()[first], shown["time"].cast(pl.Float64).to_numpy()[first]
    place_E = shown["position"].cast(pl.Int64)
    start = place_E.min()
    assert start is None or isinstance(start, int)
    others = [name for name in shown.columns if name not in (*KEYS, "user_idx", "item_idx")]
    text = [name for name in others if not (shown[name].dtype.is_numeric() or shown[name].dtype == pl.Boolean)]
    context = {name: shown[name].cast(pl.String).gather(first).to_list() for name in text}
    return Impressions(
        queries=replace(dataset.everything.before(user_I, now_I), context=context),
        item_idx_E=shown["item_idx"].to_numpy(),
        offsets=offsets,
        labels={
            LABELS.get(name, name): shown[name].cast(pl.Float32).fill_null(float("nan")).to_numpy() for name in others if name not in text
        },
        position_E=(place_E - (start or 0)).fill_null(-1).to_numpy(),
    )
