"""Exact top-k: the best items of every row of scores, without those that may not be shown."""

# B queries, N items, K places of a list

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Bools, Floats, Histories

PAD = -1
"""Stands in a list's places for which no item was left."""
DEPTH = 32
"""Entries of which only the best takes part in the first, coarse look."""


def top_k(scores_BN: Floats, k: int, excluded: Histories | Bools | None = None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The k best items of each row, best first; of equal scores the lower index comes first, so lists are reproducible.

    Args:
        scores_BN: higher is better; an item whose score is NaN or -inf is in no list.
        k: places a list.
        excluded: items that may not be shown: row b's history, or a mask of shape (B, N), True where excluded.

    Returns:
        Item indices and their scores, both of shape (B, k); where fewer than k items are left, -1 and -inf fill the end.

    Raises:
        ValueError: the shapes do not fit, or k is below 1.
    """
    if scores_BN.ndim != 2:
        raise ValueError(f"scores need shape (queries, items), got {scores_BN.shape}")
    if k < 1:
        raise ValueError(f"a list needs at least one place, got k={k}")
    n_queries, n_items = scores_BN.shape
    if excluded is not None:
        shape = (len(excluded), n_items) if isinstance(excluded, Histories) else excluded.shape
        if shape != (n_queries, n_items):
            raise ValueError(f"excluded is for {shape} (queries, items), scores are {scores_BN.shape}")
    item_idx_BK = np.full((n_queries, k), PAD, np.int64)
    score_BK = np.full((n_queries, k), -np.inf, np.float32)
    for b in range(n_queries):
        # One row at a time: it stays in the cache, and the caller's scores stay as they are.
        row_N = np.asarray(scores_BN[b], np.float32)
        if excluded is not None:
            row_N = row_N.copy()
            row_N[excluded.items(b) if isinstance(excluded, Histories) else excluded[b]] = -np.inf
        best = _best(row_N, k)
        item_idx_BK[b, : len(best)] = best
        score_BK[b, : len(best)] = row_N[best]
    return item_idx_BK, score_BK


def _best(row_N: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Indices of the k largest entries above -inf, best first; fewer where there are fewer. NaN is not among them."""
    chosen = np.flatnonzero(row_N >= _bound(row_N, k))  # NaN is not
    scores = row_N[chosen]
    if len(chosen) > k:
        # Partitioning leaves the choice among equals at the border to chance: take its value only, and choose by index.
        border = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = chosen[scores > border]
        chosen = np.concatenate([above, chosen[scores == border][: k - len(above)]])
        scores = row_N[chosen]
    shown = scores > -np.inf
    chosen, scores = chosen[shown], scores[shown]
    return chosen[np.lexsort((chosen, -scores))]


def _bound(row_N: npt.NDArray[np.float32], k: int) -> np.float32:
    """A score that at least k items reach, found faster than the k-th best score itself: few items are left to look at."""
    columns = len(row_N) // DEPTH
    if columns < k:
        return np.float32(-np.inf)
    # The best of each column are entries of their own, so k of them reach the k-th best of them. A column with a NaN counts for nothing.
    best_of_column = row_N[: DEPTH * columns].reshape(DEPTH, columns).max(0)
    best_of_column[np.isnan(best_of_column)] = -np.inf
    return np.float32(np.partition(best_of_column, columns - k)[columns - k])
