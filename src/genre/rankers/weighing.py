"""Weights for a sum of rankers' scores, found by coordinate search on the NDCG of held-out queries."""

# M rankers, Q held-out queries, C candidates of a query (padded)

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from genre.rankers.shortlists import Shortlists
from genre.types import Floats

FACTORS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.2, 1.4, 2.0, 4.0)
"""What one weight is multiplied by at each try."""
REVIVAL = 0.05
"""The share of the largest weight that stands for a weight of zero when it is multiplied."""
SWEEPS = 4
SMALLEST_GAIN = 1e-5
"""A change must win this much NDCG, or noise alone would move the weights; a sweep, ten times as much."""


def search(shortlists: Shortlists, k: int) -> npt.NDArray[np.float64]:
    """Weights that sum to 1: from equal ones on, one at a time is changed for as long as NDCG at k grows."""
    m = len(shortlists.score_MQC)
    weight_M = np.full(m, 1 / m)
    best = shortlists.ndcg(shortlists.summed(weight_M), k)
    for _ in range(SWEEPS if m > 1 else 0):
        before = best
        for i in range(m):
            others_QC = shortlists.summed(np.where(np.arange(m) == i, 0.0, weight_M))
            for value in tries(weight_M, i):
                reached = shortlists.ndcg(others_QC + np.float32(value) * shortlists.score_MQC[i], k)
                if reached > best + SMALLEST_GAIN:
                    best, weight_M[i] = reached, value
        if best - before < 10 * SMALLEST_GAIN:
            break
    return np.asarray(weight_M / weight_M.sum(), np.float64)


def tries(weight_M: Floats, i: int) -> Iterator[float]:
    """Values worth trying for weight i, as long as not all weights become zero."""
    start = float(weight_M[i]) or REVIVAL * float(weight_M.max())
    alone = np.count_nonzero(weight_M) == 1 and weight_M[i] > 0
    yield from (start * factor for factor in FACTORS if factor or not alone)


def cross_validated(shortlists: Shortlists, k: int, rng: np.random.Generator) -> float:
    """NDCG at k on each half of the queries under the weights found on the other, averaged."""
    order = rng.permutation(len(shortlists))
    halves = [shortlists.take(rows) for rows in (order[: len(order) // 2], order[len(order) // 2 :])]
    return float(np.mean([held.ndcg(held.summed(search(seen, k)), k) for seen, held in (halves, halves[::-1])]))
