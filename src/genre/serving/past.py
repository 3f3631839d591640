"""The past: what somebody did, from the store and from the bundle, as scorers and filters read it."""

# L events, U users, E entries of the bundle

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from genre.bundle import DISLIKED, HISTORIES, mapped, user_keys
from genre.serving.catalogue import Catalogue
from genre.serving.contract import NEGATIVE, SILENT, PastEvent
from genre.serving.filters import SeenItems
from genre.serving.scorers import Query
from genre.types import Floats, Ints

NEWEST = 200
"""Events that scorers read at most."""


@dataclass(frozen=True)
class Past:
    """One history.

    Attributes:
        query: what was liked, for scorers.
        seen: everything that was done, and what was disliked in the training data.
        hidden: items after which somebody said no.
    """

    query: Query
    seen: SeenItems
    hidden: Ints


class Snapshot:
    """The newest events of every user of the training data."""

    def __init__(self, file: Path) -> None:
        state = mapped(file)
        self.key_U, self.offsets = state["key_U"], state["offsets"]
        self.item_idx_E, self.time_E = state["item_idx_E"], state["time_E"]
        self.disliked: Snapshot | None = None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a bundle."""
        snapshot = cls(folder / HISTORIES)
        if (folder / DISLIKED).is_file():
            snapshot.disliked = cls(folder / DISLIKED)
        return snapshot

    def of(self, user_id: str | None) -> tuple[Ints, Floats]:
        """Items and times, oldest first; nothing for who is not known."""
        if user_id is not None and len(self.key_U):
            key = user_keys([user_id])[0]
            u = int(np.searchsorted(self.key_U, key))
            if u < len(self.key_U) and self.key_U[u] == key:
                entries = slice(int(self.offsets[u]), int(self.offsets[u + 1]))
                return self.item_idx_E[entries].astype(np.int64), self.time_E[entries]
        return np.empty(0, np.int64), np.empty(0)


def past_of(
    user_id: str | None, history: Sequence[PastEvent], anchors: Ints, snapshot: Snapshot, catalogue: Catalogue, n: int, now: float,
    context: Mapping[str, str] | None = None, words_D: Floats | None = None,
) -> Past:  # fmt: skip
    """The store's events, before them the bundle's older ones, after them the anchors, as if they had just been looked at."""
    index = catalogue.index
    known = [(index.get(event.item_id, n), event.time, event.type) for event in history if event.type not in SILENT]
    known = [event for event in known if event[0] < n]
    old_idx, old_time = snapshot.of(user_id)
    if history:
        before = ~(old_time >= history[0].time)
        old_idx, old_time = old_idx[before], old_time[before]
    done_idx = np.concatenate([old_idx, np.array([i for i, _, _ in known], np.int64)])
    done_time = np.concatenate([old_time, np.array([time for _, time, _ in known], np.float64)])
    refused = np.zeros(len(done_idx), bool)
    refused[len(old_idx) :] = [kind in NEGATIVE for _, _, kind in known]
    hidden = done_idx[refused]
    liked = ~np.isin(done_idx, hidden) if len(hidden) else ~refused
    liked_idx, liked_time = done_idx[liked][-NEWEST:], done_time[liked][-NEWEST:]
    # An anchor that was just clicked is in the history already.
    fresh = anchors[~np.isin(anchors, liked_idx[-len(anchors) :])] if len(anchors) else anchors
    done = np.concatenate([liked_idx, fresh]), np.concatenate([liked_time, np.full(len(fresh), now)])
    query = Query(*done, now, context or {}, words_D)
    if snapshot.disliked is not None:
        refused_idx, refused_time = snapshot.disliked.of(user_id)
        done_idx, done_time = np.concatenate([refused_idx, done_idx]), np.concatenate([refused_time, done_time])
    return Past(query, SeenItems(done_idx, now - done_time), hidden)
