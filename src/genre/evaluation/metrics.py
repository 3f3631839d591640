"""Ranking metrics as pure functions of ranks: where the right items stood, and what that is worth at a cut-off."""

# B queries, N items, E targets of all queries one after another (query b owns offsets[b]:offsets[b + 1]), I impressions

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from genre.types import Bools, Floats, Histories, Ints

Values = npt.NDArray[np.float64]

NEVER = np.inf
"""The rank of a target that no list shows: its score is NaN or -inf, or it is masked."""


def target_ranks(scores_BN: Floats, target_E: Ints, offsets: Ints, masked: Histories | None = None) -> tuple[Values, Values]:
    """Ranks from 1 of every target among the whole catalogue, ties broken against the model.

    An item that scores as high as the target stands before it. NaN scores are -inf, except that a NaN target never is a hit. Targets of
    one query that tie with each other stand one after another, behind everything else that ties with them.

    Returns:
        `rank_E` over all N items, and `masked_rank_E` where the items of `masked` cannot be recommended (a target among them never is
        a hit); the second is a copy of the first without `masked`.
    """
    _check_ragged(target_E, offsets, len(scores_BN))
    rank_E = np.empty(len(target_E))
    masked_rank_E = np.empty(len(target_E))
    for b, row_N in enumerate(scores_BN):
        entries = slice(offsets[b], offsets[b + 1])
        rank_E[entries] = masked_rank_E[entries] = _ranks(row_N, target_E[entries])
        if masked is not None:
            row_N = row_N.copy()
            row_N[masked.items(b)] = -np.inf
            masked_rank_E[entries] = _ranks(row_N, target_E[entries])
    return rank_E, masked_rank_E


def _ranks(row_N: Floats, targets: Ints) -> Values:
    scores = row_N[targets]
    # Comparing with NaN is False, just as if it were -inf. Targets that tie stand one after another, so later ones do not count.
    counts = [np.count_nonzero(row_N >= score) - np.count_nonzero(scores[e + 1 :] == score) for e, score in enumerate(scores)]
    return np.where(scores > -np.inf, counts, NEVER)


def hit_rate(rank_E: Values, offsets: Ints, k: int) -> Values:
    """1 for a query with at least one target in its first k, shape (B,)."""
    return (_sum(rank_E <= k, offsets) > 0).astype(np.float64)


def recall(rank_E: Values, offsets: Ints, k: int) -> Values:
    """Share of a query's targets in its first k, shape (B,)."""
    return _sum(rank_E <= k, offsets) / np.diff(offsets)


def precision(rank_E: Values, offsets: Ints, k: int) -> Values:
    """Share of the first k places that hold a target, shape (B,)."""
    return _sum(rank_E <= k, offsets) / k


def ndcg(rank_E: Values, offsets: Ints, k: int) -> Values:
    """Discounted gain of the first k places over the best there could be with min(k, targets) hits, shape (B,)."""
    gain_E = np.where(rank_E <= k, 1 / np.log2(1 + rank_E), 0.0)
    best_K = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    ideal_B: Values = best_K[np.minimum(np.diff(offsets), k) - 1]
    return _sum(gain_E, offsets) / ideal_B


def mrr(rank_E: Values, offsets: Ints, k: int) -> Values:
    """One over the rank of the first target, 0 beyond k, shape (B,)."""
    _check_ragged(rank_E, offsets, len(offsets) - 1)
    best_B = np.minimum.reduceat(rank_E, offsets[:-1]) if len(offsets) > 1 else np.empty(0)
    return np.where(best_B <= k, 1 / best_B, 0.0)


def average_precision(rank_E: Values, offsets: Ints, k: int) -> Values:
    """Precision at each target in the first k, summed, over the number of targets (as trec_eval does), shape (B,)."""
    _check_ragged(rank_E, offsets, len(offsets) - 1)
    owner_E = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    sorted_E = rank_E[np.lexsort((rank_E, owner_E))]
    found_E = np.arange(len(rank_E)) - np.repeat(offsets[:-1], np.diff(offsets)) + 1
    return _sum(np.where(sorted_E <= k, found_E / sorted_E, 0.0), offsets) / np.diff(offsets)


METRICS: Mapping[str, Callable[[Values, Ints, int], Values]] = {
    "hit_rate": hit_rate, "ndcg": ndcg, "recall": recall, "precision": precision, "mrr": mrr, "map": average_precision,
}  # fmt: skip


def all_metrics(rank_E: Values, offsets: Ints, cutoffs: tuple[int, ...]) -> dict[str, Values]:
    """Every metric at every cut-off by its printed name, `ndcg@10`, each of shape (B,)."""
    return {f"{name}@{k}": metric(rank_E, offsets, k) for k in cutoffs for name, metric in METRICS.items()}


def impression_metrics(scores_E: Floats, clicked_E: Bools, offsets: Ints, cutoffs: tuple[int, ...] = (5, 10)) -> dict[str, Values]:
    """AUC, MRR and nDCG of each list that was shown, from the scores and clicks of its entries, each of shape (I,).

    AUC counts a tie as half; ranks break ties against the model; MRR is the mean of 1 / rank over the clicked entries, as MIND has it.
    A list without a click, or with nothing but clicks, orders nothing: all its values are NaN. NaN scores are -inf.
    """
    _check_ragged(scores_E, offsets, len(offsets) - 1)
    if clicked_E.shape != scores_E.shape:
        raise ValueError(f"{scores_E.shape} scores, {clicked_E.shape} clicks")
    names = ["auc", "mrr", *(f"ndcg@{k}" for k in cutoffs)]
    values = {name: np.full(len(offsets) - 1, np.nan) for name in names}
    scores_E = np.where(np.isnan(scores_E), -np.inf, scores_E)
    for i in range(len(offsets) - 1):
        entries = slice(offsets[i], offsets[i + 1])
        clicked, skipped = scores_E[entries][clicked_E[entries]], np.sort(scores_E[entries][~clicked_E[entries]])
        if not len(clicked) or not len(skipped):
            continue
        below, up_to = (np.searchsorted(skipped, clicked, side) for side in ("left", "right"))
        values["auc"][i] = (below + up_to).mean() / 2 / len(skipped)
        # The clicked entries by score: before the j-th of them stand j - 1 clicked ones and all skipped ones that score as high.
        rank = len(skipped) - np.sort(below)[::-1] + np.arange(1, len(clicked) + 1.0)
        values["mrr"][i] = (1 / rank).mean()
        for k in cutoffs:
            values[f"ndcg@{k}"][i] = ndcg(rank, np.array([0, len(rank)]), k)[0]
    return values


def _sum(value_E: npt.NDArray[np.generic], offsets: Ints) -> Values:
    _check_ragged(value_E, offsets, len(offsets) - 1)
    summed: Values = np.add.reduceat(value_E.astype(np.float64), offsets[:-1]) if len(offsets) > 1 else np.empty(0)
    return summed


def _check_ragged(value_E: npt.NDArray[np.generic], offsets: Ints, n: int) -> None:
    if len(offsets) != n + 1 or offsets[0] != 0 or offsets[-1] != len(value_E):
        raise ValueError(f"offsets of {len(offsets) - 1} queries up to {offsets[-1]} do not fit {n} queries with {len(value_E)} entries")
    if (np.diff(offsets) < 1).any():
        raise ValueError(f"query {int(np.argmin(np.diff(offsets)))} has no target: leave it out and count it")
