"""The figure rankers choose by: NDCG@10 over the whole catalogue, on validation queries only."""

# B queries, N items, E targets of all queries

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from genre.types import Floats, GroundTruth, Histories

SCORES_AT_ONCE = 1 << 23


def sample(truth: GroundTruth, n: int, rng: np.random.Generator) -> GroundTruth:
    """At most n of the queries, shortest history first (so that batches of neighbours hold little padding)."""
    rows = np.sort(rng.choice(len(truth), n, replace=False)) if len(truth) > n else np.arange(len(truth))
    return truth.take(rows[np.argsort(truth.queries.lengths[rows], kind="stable")])


def ndcg(
    score: Callable[[Histories], npt.NDArray[np.float32]], truth: GroundTruth, n_items: int, repeats: bool = False, k: int = 10
) -> float:
    """Mean NDCG@k of all targets, a few queries at a time.

    Args:
        score: a ranker's `score`.
        repeats: rank items of the history too; otherwise they are out of the race.
    """
    size = max(SCORES_AT_ONCE // max(n_items, 1), 1)
    parts = [truth.take(slice(start, start + size)) for start in range(0, len(truth), size)]
    return float(np.concatenate([ndcg_B(score(part.queries), part, repeats, k) for part in parts]).mean())


def ndcg_B(scores_BN: Floats, truth: GroundTruth, repeats: bool = False, k: int = 10) -> Floats:
    """NDCG@k of each query. An item as good as a target counts as better, and a target whose score is NaN is never found."""
    if len(scores_BN) != len(truth):
        raise ValueError(f"{len(scores_BN)} rows of scores for {len(truth)} queries")
    # NaN elsewhere is better than anything: it must not help those around it.
    scores_BN = np.where(np.isnan(scores_BN), np.inf, scores_BN)
    owner_E = truth.owner_E()
    target_E = scores_BN[owner_E, truth.target_E]
    target_E = np.where(np.isfinite(target_E), target_E, -np.inf)
    if not repeats:
        seen = truth.queries.seen
        scores_BN[seen.owner_E(), seen.item_idx_E] = -np.inf
        target_E = np.minimum(target_E, scores_BN[owner_E, truth.target_E])
    rank_E = np.array([np.count_nonzero(scores_BN[b] >= value) for b, value in zip(owner_E, target_E, strict=True)])  # 1 is best
    found_E = (rank_E <= k) & np.isfinite(target_E)
    gain_B = np.bincount(owner_E, np.where(found_E, 1 / np.log2(rank_E + 1.0), 0.0), minlength=len(truth))
    ideal_B = np.cumsum(1 / np.log2(np.arange(2, k + 2)))[np.minimum(np.diff(truth.offsets), k) - 1]
    ndcg_B: Floats = gain_B / ideal_B
    return ndcg_B
