"""Sittings: entries of a user so close in time that they have no order, such as the lines of one basket."""

# E entries of all users one after another

from __future__ import annotations

import numpy as np

from genre.types import Bools, Floats, Histories, Ints


def sittings_E(histories: Histories, seconds: float | None) -> Ints:
    """The number of each entry's sitting, counted over all users.

    Entries of a user at most `seconds` apart belong to one sitting (0: the same time stamp, a basket). Without a clock, or with None, every
    entry stands alone.
    """
    if seconds is None:
        return np.arange(len(histories.item_idx_E))
    begins_E = np.ones(len(histories.item_idx_E), bool)
    begins_E[1:] = apart(histories.time_E, seconds)
    begins_E[histories.offsets[:-1][histories.lengths > 0]] = True
    return np.cumsum(begins_E) - 1


def apart(time_E: Floats, seconds: float) -> Bools:
    """Whether each entry but the first begins a sitting, by the clock alone. NaN compares false, so no clock means that each does."""
    return ~(np.diff(time_E) <= seconds)


def ages_E(histories: Histories, sitting_seconds: float | None) -> Ints:
    """How many entries, or sittings, of the same user came later: 0 for the newest."""
    steps = sittings_E(histories, sitting_seconds)
    last = np.repeat(histories.offsets[1:], histories.lengths) - 1
    return steps[last] - steps
