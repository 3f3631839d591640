"""Placing: a policy applied to scores over a whole catalogue, as slates, or as scores that any judge of rankers can judge."""

# B queries, N items, K candidates, n places of a slate

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.index import PAD, top_k
from genre.policies import Policy
from genre.policies.shelf import Shelf
from genre.types import Floats, Histories, Ints

CANDIDATES = 500
"""How many of the best scores a policy chooses from."""


def slates(
    policy: Policy, shelf: Shelf, scores_BN: Floats, n: int, queries: Histories, banned: Histories | None, rng: np.random.Generator
) -> Ints:
    """What the policy shows of each query's best candidates: item indices (B, n), -1 where a list is shorter.

    Args:
        banned: items that may not be shown, a history a query; None bans nothing.
    """
    candidates_BK, _ = top_k(scores_BN, max(n, CANDIDATES), banned)
    slates_Bn = np.full((len(scores_BN), n), PAD, np.int64)
    for b, slate_n in enumerate(slates_Bn):
        allowed_K = candidates_BK[b][candidates_BK[b] != PAD]
        picks = policy.select(shelf.candidates(allowed_K, scores_BN[b][allowed_K], queries.items(b)), n, rng).item_idx
        slate_n[: len(picks)] = picks
    return slates_Bn


def placed(scores_BN: Floats, slates_Bn: Ints) -> npt.NDArray[np.float32]:
    """Scores with the items of each slate above all others, in its order; the rest stay in theirs."""
    placed_BN = np.empty(scores_BN.shape, np.float32)
    for b, slate_n in enumerate(slates_Bn):
        shown = slate_n[slate_n != PAD]
        # Ranks instead of scores: adding to a score of 1e9 would lose the places to rounding.
        placed_BN[b, np.argsort(scores_BN[b], kind="stable")] = np.arange(scores_BN.shape[1])
        placed_BN[b, shown] = scores_BN.shape[1] + np.arange(len(shown), 0, -1)
    return placed_BN
