"""Candidates: the few items worth a closer look, as the best of several rankers, and where each of them put them."""

# B queries, N items, E candidates of all queries one after another

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genre.types import Floats, Histories, Ints, offsets_of


def shortlisted(score_MBN: Sequence[Floats], queries: Histories, top: int, repeats: bool) -> tuple[Ints, Ints]:
    """The `top` best items of every ranker, without those of the history unless they may be repeated.

    Returns:
        Item indices of all queries one after another, ascending within a query, and B + 1 offsets.
    """
    n_items, seen = score_MBN[0].shape[1], queries.seen
    picked_BN = np.zeros(score_MBN[0].shape, bool)
    k = min(top, n_items)
    for score_BN in score_MBN:
        open_BN = score_BN
        if not repeats:
            open_BN = score_BN.copy()
            open_BN[seen.owner_E(), seen.item_idx_E] = -np.inf
        np.put_along_axis(picked_BN, np.argpartition(open_BN, n_items - k, axis=1)[:, n_items - k :], True, axis=1)
    if not repeats:
        picked_BN[seen.owner_E(), seen.item_idx_E] = False
    item_E = np.nonzero(picked_BN)[1]
    return item_E, offsets_of(picked_BN.sum(axis=1))


def ranks_E(score_BN: Floats, owner_E: Ints, item_E: Ints) -> Ints:
    """How many items of the catalogue this ranker puts above each candidate, 0 for its best."""
    sorted_BN = np.sort(score_BN, axis=1)
    rank_E = np.empty(len(item_E), np.int64)
    cuts = np.searchsorted(owner_E, np.arange(len(score_BN) + 1))
    for b, row_N in enumerate(sorted_BN):
        entries = slice(cuts[b], cuts[b + 1])
        rank_E[entries] = len(row_N) - np.searchsorted(row_N, score_BN[b, item_E[entries]], side="right")
    return rank_E
