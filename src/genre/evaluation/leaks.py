"""Checks that run before any metric: may the truth be trusted, and what carries information it should not?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genre.types import GroundTruth


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked for, `target in history`.
        level: `ok`, `note` (to know when reading the figures) or `leak` (the figures are wrong).
        count: how often it was found, among `of`.
        sentence: the finding in words.
    """

    name: str
    level: Literal["ok", "note", "leak"]
    count: int
    of: int
    sentence: str

    @property
    def share(self) -> float:
        """Count over how many were looked at."""
        return self.count / self.of if self.of else 0.0


def leak_checks(truth: GroundTruth, repeats: bool = False, shuffled: bool = True) -> list[Check]:
    """Target in history, history later than the target, duplicated users, ties in time at the border.

    The moment of a query (`truth.queries.now_B`) is taken as the time of its first target.

    Args:
        repeats: whether an item of the history may be right.
        shuffled: whether events of one time stamp were put in random order; else they stand as in the file.
    """
    queries = truth.queries
    n = len(queries)
    filled = np.flatnonzero(queries.lengths)
    last_B = np.full(n, np.nan)
    last_B[filled] = queries.time_E[queries.offsets[1:][filled] - 1]
    later = queries.time_E > np.repeat(queries.now_B, queries.lengths)
    n_later = len(np.unique(queries.owner_E()[later]))
    width = int(max(queries.item_idx_E.max(initial=0), truth.target_E.max(initial=0))) + 1
    seen = np.isin(truth.owner_E() * width + truth.target_E, queries.owner_E() * width + queries.item_idx_E)
    n_seen, n_tied, n_clocked = int(seen.sum()), int((last_B == queries.now_B).sum()), int((~np.isnan(last_B + queries.now_B)).sum())
    n_doubled = n - len(np.unique(truth.user_idx_B))
    in_history = f"{_of(n_seen, len(truth.target_E), 'test targets')} are in the user's own history"
    tied = f"{_of(n_tied, n_clocked, 'test targets')} share their time stamp with the event before"
    if not n_clocked:
        tied = "no query has a clock: order is that of the file"
    elif n_tied:
        tied += f": order within is {'shuffled' if shuffled else 'that of the file'}"
    return [
        Check(
            "target in history", "ok" if not n_seen else "note" if repeats else "leak", n_seen, len(truth.target_E),
            in_history + (": repeats are allowed" if repeats else ": they are masked and can never be hits" if n_seen else ""),
        ),
        Check(
            "history after target", "leak" if n_later else "ok", n_later, n,
            f"{_of(n_later, n, 'queries')} have an event in their history that is later than their target",
        ),
        Check(
            "duplicated users", "note" if n_doubled else "ok", n_doubled, n,
            f"{_of(n_doubled, n, 'queries')} are of a user who has another one; values are averaged within a user first",
        ),
        Check(
            "tied with the event before", "note" if n_tied else "ok", n_tied, n_clocked,
            tied,
        ),
    ]  # fmt: skip


def _of(count: int, total: int, what: str) -> str:
    if not count:
        return f"none of {total:,} {what}"
    return f"{100 * count / total:.0f} % of {what} ({count:,} of {total:,})"
