"""Retrieval: the best items of the whole catalogue under a filter, by the plan that the filter's selectivity asks for."""

# N items, K candidates

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genre.index import top_k
from genre.serving.columns import Mask
from genre.serving.scorers import Reading
from genre.types import Ints


@dataclass(frozen=True)
class Plans:
    """When to search how.

    Attributes:
        exact_up_to: catalogues of at most so many items are scored exactly, whole.
        subset_up_to: if at most so many items pass the filter, those alone are scored, exactly.
        index_above: catalogues of more items are searched by an approximate index, where the bundle has one.
        index_subset_up_to: the same as subset_up_to where there is an index.
        spare: the coarse scan finds so many times the candidates wanted; they are then scored exactly.
    """

    exact_up_to: int = 20_000
    subset_up_to: int = 5_000
    index_above: int = 200_000
    index_subset_up_to: int = 20_000
    spare: float = 1.5


@dataclass(frozen=True)
class Found:
    """Candidates that pass, how they were found, and those that would have been candidates but for the filter."""

    item_idx_K: Ints
    plan: str
    missed: Ints


def retrieve(reading: Reading, allowed_N: Mask, k: int, plans: Plans) -> Found:
    """The best k or more allowed items, by the served ranker."""
    n = len(allowed_N)
    passing = int(np.count_nonzero(allowed_N))
    none = np.empty(0, np.int64)
    indexed = n > plans.index_above and reading.indexed
    few = plans.index_subset_up_to if indexed else plans.subset_up_to if n > plans.exact_up_to else 0
    if passing <= max(k, few):
        return Found(np.flatnonzero(allowed_N), "subset", none)
    if indexed:
        return Found(reading.nearest(int(k * plans.spare), allowed_N), "index", none)
    exact = n <= plans.exact_up_to
    wanted = k if exact else int(k * plans.spare)
    scores_N = reading.all() if exact else reading.coarse()
    # Most filters take little: one look without them, deep enough to lose some, also tells what they took.
    deep = min(n, int(wanted * min(n / passing, 2.0)) + 50)
    order = top_k(scores_N[None], deep)[0][0]
    order = order[order >= 0]
    passes = allowed_N[order]
    found, missed = order[passes], order[~passes]
    if len(found) < min(wanted, passing):
        found = top_k(scores_N[None], min(wanted, passing), ~allowed_N[None])[0][0]
        found = found[found >= 0]
    return Found(found[:wanted], "exact" if exact else "scan", missed)
