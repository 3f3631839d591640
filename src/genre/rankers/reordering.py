"""Reordering: candidates by a mix of two opinions, above all other items, and which mixture pays."""

# N items, K candidates of a query, Q held-out queries, W weights

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Ints

Values = npt.NDArray[np.float64]

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Mixtures that are tried."""
CUTOFF = 10
"""Of the NDCG by which they are compared."""


def reordered(scores_N: npt.NDArray[np.float32], item_idx_K: Ints, surprise_K: Values, weight: float) -> npt.NDArray[np.float32]:
    """Scores in which the candidates stand above all other items, ordered by a mix of their score and their likelihood.

    Both are standardised over the candidates; a candidate without a likelihood (NaN) has an average one.
    """
    if item_idx_K.shape != surprise_K.shape or scores_N.ndim != 1:
        raise ValueError(f"scores {scores_N.shape}, candidates {item_idx_K.shape}, likelihoods {surprise_K.shape}")
    mixed_K = (1 - weight) * standardised(scores_N[item_idx_K].astype(np.float64)) + weight * standardised(surprise_K)
    others_N = np.ones(len(scores_N), bool)
    others_N[item_idx_K] = False
    floor = float(scores_N[others_N].max()) if others_N.any() else 0.0
    # Steps that float32 can tell apart from the floor, however large that is.
    step = max(float(scores_N.std()), 1e-3 * abs(floor), 1e-6)
    found_N = scores_N.copy()
    found_N[item_idx_K] = floor + step * (1 + mixed_K - mixed_K.min(initial=0))
    return found_N


def standardised(value_K: Values) -> Values:
    """Mean 0 and standard deviation 1 over what is known; 0 where it is not, and everywhere if there is nothing to tell apart."""
    known = ~np.isnan(value_K)
    found_K = np.zeros(len(value_K))
    if known.any() and (spread := float(value_K[known].std())) > 1e-9:
        found_K[known] = (value_K[known] - value_K[known].mean()) / spread
    return found_K


def gains(targets: Ints, scores_N: npt.NDArray[np.float32], item_idx_K: Ints, surprise_K: Values) -> list[float]:
    """NDCG of one query by weight."""
    mixed = (reordered(scores_N, item_idx_K, surprise_K, weight)[item_idx_K] for weight in WEIGHTS)
    return [gain(item_idx_K[np.argsort(-mixed_K, kind="stable")], targets) for mixed_K in mixed]


def paying_weight(gain_QW: Values) -> float:
    """The weight with the best mean, if that is more than a standard error above what weight 0 reaches on the same queries; else 0.

    Reading candidates costs seconds a query: a gain that may be chance is not worth them.
    """
    best = int(gain_QW.mean(0).argmax())
    added_Q = gain_QW[:, best] - gain_QW[:, 0]
    error = float(added_Q.std(ddof=1)) / len(added_Q) ** 0.5 if len(added_Q) > 1 else np.inf
    return WEIGHTS[best] if added_Q.mean() > error else WEIGHTS[0]


def gain(list_K: Ints, targets: Ints) -> float:
    """NDCG at the cut-off of a list of distinct items."""
    discount = 1 / np.log2(np.arange(CUTOFF) + 2)
    hits = np.isin(list_K[:CUTOFF], targets)
    return float(discount[: len(hits)][hits].sum() / discount[: min(len(targets), CUTOFF)].sum())
