"""Fading: how much an interaction still counts, given how long ago it was."""

# E training interactions, N items

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Floats, Histories

DAY = 86_400.0


def faded_E(time_E: Floats, half_life_days: float | None) -> npt.NDArray[np.float32]:
    """One half to the power of the half-lives between an interaction and the newest one; all 1 for None, or without a clock.

    An interaction without a time is as old as the oldest: it must not outweigh those that are known to be recent.
    """
    if half_life_days is None or not np.isfinite(time_E).any():
        return np.ones(len(time_E), np.float32)
    age_E = np.nanmax(time_E) - time_E
    return (0.5 ** (np.nan_to_num(age_E, nan=np.nanmax(age_E)) / (DAY * half_life_days))).astype(np.float32)


def faded_counts_N(histories: Histories, n_items: int, half_life_days: float | None) -> npt.NDArray[np.float32]:
    """Interactions an item, older ones counting less, shape (N,)."""
    return np.bincount(histories.item_idx_E, faded_E(histories.time_E, half_life_days), n_items).astype(np.float32)
