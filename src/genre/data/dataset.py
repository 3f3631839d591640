"""The dataset: catalogue, users and interactions with dense indices, each interaction in its part of the split."""

# U users, N items, E interactions

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from genre.data.leaks import Check
from genre.data.splitting import TEST, TRAIN, VALID
from genre.types import GroundTruth, Histories, offsets_of

Part = Literal["valid", "test"]


@dataclass(frozen=True)
class Dataset:
    """What the prepare stage wrote.

    Attributes:
        items: `item_idx` (0 to N - 1), `item_id`, `text`, then the catalogue's own columns.
        users: `user_idx`, `user_id`, then their own columns.
        interactions: `user_idx`, `item_idx`, `time`, `value`, `event`, `session`, `part`; sorted by user and time.
        summary: counts, the protocol in words, what the checks found.
        repeats: whether an item of the history may be recommended again.
        disliked: `user_idx`, `item_idx`, `time` of what was valued below `data.min_value`: nothing is learnt from it, but it was seen.
        impressions: `request_id`, `user_id`, `time`, `item_id`, `position`, `clicked` and what else was logged, scanned lazily; None where
            nothing was.
    """

    items: pl.DataFrame
    users: pl.DataFrame
    interactions: pl.DataFrame
    summary: dict[str, object]
    repeats: bool
    impressions: pl.LazyFrame | None = None
    disliked: pl.DataFrame | None = None

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read a finished prepare stage."""
        summary = read_summary(folder)
        items, users, interactions = (pl.read_parquet(folder / f"{name}.parquet") for name in ("items", "users", "interactions"))
        shown, disliked = folder / "impressions.parquet", folder / "disliked.parquet"
        impressions = pl.scan_parquet(shown) if shown.is_file() else None
        refused = pl.read_parquet(disliked) if disliked.is_file() else None
        return cls(items, users, interactions, summary, bool(summary["repeats"]), impressions, refused)

    @property
    def n_items(self) -> int:
        """N, the size of the catalogue."""
        return len(self.items)

    @property
    def checks(self) -> list[Check]:
        """What was looked for in the split before anything was learnt; nothing where nothing tests."""
        return checks_of(self.summary)

    @cached_property
    def everything(self) -> Histories:
        """All interactions of all users, and what they disliked."""
        disliked = None if self.disliked is None else self._histories(self.disliked)
        return replace(self._histories(self.interactions), disliked=disliked)

    @cached_property
    def training(self) -> Histories:
        """The training interactions of all users, some of whom may have none."""
        return self._histories(self.interactions.filter(pl.col("part") == TRAIN))

    def ground_truth(self, part: Part, limit: int | None = None, seed: int = 0) -> GroundTruth:
        """The queries of a part: each user's history up to their first target there, and the targets.

        Unless repeats are allowed, a target that was seen before is dropped, and so is a user left without targets. What was disliked
        without a clock counts as seen before.

        Args:
            limit: at most so many users, drawn with the seed; None takes all.
        """
        parts = self.interactions["part"].to_numpy()
        rows = np.flatnonzero(parts == {"valid": VALID, "test": TEST}[part])
        item_idx, user_idx = (self.interactions[name].to_numpy() for name in ("item_idx", "user_idx"))
        users, first, counts = np.unique(user_idx[rows], return_index=True, return_counts=True)
        start, stop = self.everything.offsets[users], rows[first]
        lengths = stop - start
        offsets = offsets_of(lengths)
        entries = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], lengths)
        time = self.everything.time_E
        refused = self.everything.disliked
        disliked = None if refused is None else refused.before(users, time[stop])
        queries = Histories(item_idx[entries], time[entries], offsets, time[stop], disliked)
        target_offsets = offsets_of(counts)
        truth = GroundTruth(queries, item_idx[rows], target_offsets, users)
        return truth.distinct(self.repeats).draw(limit, seed)

    def left_out(self, part: Part, judged: int) -> dict[str, int]:
        """How many users are not judged on a part, by the reason, where its ground truth has so many as `judged`."""
        asked = self.interactions.filter(pl.col("part") == {"valid": VALID, "test": TEST}[part])["user_idx"].n_unique()
        return {
            "users without an interaction in this part": len(self.users) - asked,
            "users who had every item of it before": asked - judged,
        }

    def _histories(self, rows: pl.DataFrame) -> Histories:
        counts = np.bincount(rows["user_idx"].to_numpy(), minlength=len(self.users))
        offsets = offsets_of(counts)
        time = rows["time"].fill_null(float("nan")).to_numpy()
        now = np.full(len(self.users), np.nan)
        filled = np.flatnonzero(counts)
        now[filled] = time[offsets[1:][filled] - 1]
        return Histories(rows["item_idx"].to_numpy(), time, offsets, now)


def read_summary(folder: Path) -> dict[str, object]:
    """What a finished prepare stage says of itself, without its tables."""
    found: dict[str, object] = json.loads((folder / "summary.json").read_text())
    return found


def checks_of(summary: dict[str, object]) -> list[Check]:
    """See Dataset.checks."""
    saved = summary.get("checks", [])
    assert isinstance(saved, list)
    return [Check(**each) for each in saved]
