"""Tables of a bundle: what every user did last, and how much each item was touched, when."""

# U users, N items, E entries

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from genre.bundle import DISLIKED, HISTORIES, user_keys
from genre.data.dataset import Dataset
from genre.types import Histories, Ints

NEWEST = 100
"""Entries kept of each user."""
RECENT_DAYS = 7.0
"""Half-life of what counts as recent."""


def write_tables(dataset: Dataset, folder: Path) -> None:
    """`histories.safetensors`, `counts.safetensors` and, where `data.min_value` left something out, `disliked.safetensors`."""
    key_U = user_keys(dataset.users["user_id"].to_list())
    _write_pasts(dataset.everything, key_U, folder / HISTORIES)
    if dataset.everything.disliked is not None:
        _write_pasts(dataset.everything.disliked, key_U, folder / DISLIKED)
    item_E, time_E = dataset.everything.item_idx_E, dataset.everything.time_E
    last = float(np.nanmax(time_E)) if np.isfinite(time_E).any() else float("nan")
    age_days_E = np.nan_to_num((last - time_E) / 86_400.0, nan=0.0)
    first_N = np.full(dataset.n_items, np.inf)
    np.minimum.at(first_N, item_E, np.nan_to_num(time_E, nan=np.inf))
    save_file(
        {
            "count_N": np.bincount(item_E, minlength=dataset.n_items).astype(np.float32),
            "recent_N": np.bincount(item_E, 0.5 ** (age_days_E / RECENT_DAYS), dataset.n_items).astype(np.float32),
            "first_N": np.where(np.isfinite(first_N), first_N, np.nan),
            "last": np.array([last]),
        },
        folder / "counts.safetensors",
    )  # fmt: skip


def _write_pasts(pasts: Histories, key_U: Ints, file: Path) -> None:
    order_U = np.argsort(key_U, kind="stable")
    newest = pasts.newest(NEWEST).take(order_U)
    save_file(
        {
            "key_U": key_U[order_U], "offsets": newest.offsets.astype(np.int64),
            "item_idx_E": newest.item_idx_E.astype(np.int32), "time_E": newest.time_E.astype(np.float64),
        },
        file,
    )  # fmt: skip
