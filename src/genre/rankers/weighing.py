"""Weights for a sum of rankers' scores: what people did next is likeliest, or best placed."""

# M rankers, W ways of weighing them, Q held-out queries, C candidates of a query (padded), T targets of all queries

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from genre.rankers.shortlists import Shortlists
from genre.types import Floats, Ints

LARGEST = 50.0
"""Of a weight, in units of the scores' spread: far beyond what any data asks for."""
SHARPNESS = 10.0
"""Sum of the weights that a smooth NDCG starts from: higher follows the jumps of the true one, lower does not see the first places."""
SHARPEST = 150.0
"""Of a weight in a smooth NDCG."""
STEPS = 60
"""Of the search for the best placed."""
TARGETS_AT_ONCE = 4096
FOLDS = 5
"""Parts of the held-out queries, each judged by weights found on the others."""

Aim = Literal["likelihood", "ndcg"]


def likeliest(shortlists: Shortlists, l2: float) -> npt.NDArray[np.float64]:
    """Weights from 0 up that maximise the mean log-likelihood of the targets, less l2 / 2 times the squared weights (conditional logit,
    McFadden, 1974).

    The function is concave, so there is one best answer, and it rests on the whole list, not on its first places only.
    """
    from scipy.optimize import minimize

    score_MQC, found_QC = shortlists.score_MQC, shortlists.target_QC
    rows = found_QC.any(axis=1)
    if not rows.any():
        return np.ones(len(score_MQC))
    score_MQC, found_QC, log_copies_QC = score_MQC[:, rows], found_QC[rows], shortlists.log_copies_QC[rows]
    share_QC = found_QC / found_QC.sum(axis=1, keepdims=True)
    target_M = np.einsum("mqc,qc->m", score_MQC, share_QC) / len(found_QC)

    def loss(weight_M: Floats) -> tuple[float, Floats]:
        logit_QC = np.einsum("m,mqc->qc", weight_M.astype(np.float32), score_MQC) + log_copies_QC
        top_Q1 = logit_QC.max(axis=1, keepdims=True)
        chance_QC = np.exp(logit_QC - top_Q1)
        total_Q1 = chance_QC.sum(axis=1, keepdims=True, dtype=np.float64)
        chance_QC /= total_Q1.astype(np.float32)
        expected_M = np.einsum("mqc,qc->m", score_MQC, chance_QC, dtype=np.float64) / len(found_QC)
        value = float((top_Q1 + np.log(total_Q1)).mean()) - weight_M @ target_M + l2 / 2 * weight_M @ weight_M
        return value, expected_M - target_M + l2 * weight_M

    start_M = np.full(len(score_MQC), 1 / len(score_MQC))
    weight_M: npt.NDArray[np.float64] = minimize(loss, start_M, jac=True, method="L-BFGS-B", bounds=[(0, LARGEST)] * len(start_M)).x
    return weight_M if weight_M.any() else start_M


def best_placed(shortlists: Shortlists, l2: float) -> npt.NDArray[np.float64]:
    """Weights from 0 up that maximise a smooth NDCG of the targets (ApproxNDCG; Qin, Liu and Li, 2010), searched from the `likeliest`.

    A rank is one plus the chances that the others are above, so it is the first places that count, which is what many targets a query
    ask for: the likeliest weights bother about the last of them, too. Order alone is learnt; its scale is the likeliest one.
    """
    from scipy.optimize import minimize

    start_M = likeliest(shortlists, l2)
    rows = shortlists.target_QC.any(axis=1)
    if not rows.any() or len(start_M) == 1:
        return start_M
    held = shortlists.take(np.flatnonzero(rows))
    query_T, slot_T = np.nonzero(held.target_QC)
    copies_QC = np.exp(held.log_copies_QC)
    ideal_Q = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(2, held.relevant_Q.max() + 2)))])[held.relevant_Q]
    worth_T = 1 / (ideal_Q[query_T] * len(held))

    def loss(weight_M: Floats) -> tuple[float, Floats]:
        total_QC = np.einsum("m,mqc->qc", weight_M.astype(np.float32), held.score_MQC)
        value, slope_M = 0.0, np.zeros(len(weight_M))
        for start in range(0, len(query_T), TARGETS_AT_ONCE):
            query, slot = query_T[start : start + TARGETS_AT_ONCE], slot_T[start : start + TARGETS_AT_ONCE]
            ahead_TC = total_QC[query] - total_QC[query, slot][:, None]
            above_TC = 1 / (1 + np.exp(-np.clip(ahead_TC, -30, 30)))
            rank_T = 0.5 + (above_TC * copies_QC[query]).sum(axis=1)  # of its own place half a chance is counted
            gain_T = 1 / np.log2(1 + rank_T)
            worth = worth_T[start : start + TARGETS_AT_ONCE]
            value += float(worth @ gain_T)
            fall_T = worth * gain_T**2 / ((1 + rank_T) * np.log(2))
            push_TC = fall_T[:, None] * above_TC * (1 - above_TC) * copies_QC[query]
            slope_M += np.einsum("tc,mtc->m", push_TC, held.score_MQC[:, query])
            slope_M -= held.score_MQC[:, query, slot] @ push_TC.sum(axis=1)
        return -value, slope_M

    bounds = [(0, SHARPEST)] * len(start_M)
    begin_M = SHARPNESS * (start_M / start_M.sum() + 1 / len(start_M)) / 2  # nobody begins at 0, where the others hide what they add
    found = minimize(loss, begin_M, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    weight_M: npt.NDArray[np.float64] = found.x if found.x.any() else start_M
    summed_QC = np.where(np.isinf(shortlists.log_copies_QC), 0, shortlists.summed(weight_M))
    alone = Shortlists(summed_QC[None], shortlists.target_QC, shortlists.log_copies_QC, shortlists.relevant_Q)
    return weight_M * float(likeliest(alone, l2)[0])


WAYS: dict[Aim, Callable[[Shortlists, float], npt.NDArray[np.float64]]] = {"likelihood": likeliest, "ndcg": best_placed}


def cross_validated(shortlists: Shortlists, aim: Aim, l2: float, k: int, order_Q: Ints) -> npt.NDArray[np.float64]:
    """NDCG at k of each query, shape (Q,), under the weights found without its fold; the folds cut the queries in the order given."""
    ndcg_Q = np.zeros(len(shortlists))
    for fold in np.array_split(order_Q, FOLDS):
        held, seen = shortlists.take(fold), shortlists.take(np.setdiff1d(order_Q, fold))
        ndcg_Q[fold] = held.ndcg_Q(held.summed(WAYS[aim](seen, l2)), k)
    return ndcg_Q


def preferred(reached_WQ: Floats) -> int:
    """The first of several ways, unless others reach more by more than a standard error: then the best of those.

    The error is that of the mean paired difference to the first over the queries, so that chance alone rarely decides against the first
    (the one-standard-error rule: Breiman, Friedman, Olshen and Stone, 1984).
    """
    ahead_WQ = reached_WQ - reached_WQ[0]
    mean_W = ahead_WQ.mean(axis=1)
    error_W = ahead_WQ.std(axis=1, ddof=1) / np.sqrt(ahead_WQ.shape[1])
    return int(np.argmax(np.where(mean_W > error_W, mean_W, 0.0)))
