"""Weights for a sum of rankers' scores: those under which what people did next is likeliest (conditional logit, McFadden, 1974)."""

# M rankers, Q held-out queries, C candidates of a query (padded)

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.rankers.shortlists import Shortlists
from genre.types import Floats

LARGEST = 50.0
"""Of a weight, in units of the scores' spread: far beyond what any data asks for."""


def likeliest(shortlists: Shortlists, l2: float) -> npt.NDArray[np.float64]:
    """Weights from 0 up that maximise the mean log-likelihood of the targets, less l2 / 2 times the squared weights.

    The function is concave, so there is one best answer, and it rests on the whole list, not on its first places only: weights that
    maximise NDCG itself follow its jumps and hold less well on other queries.
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


def cross_validated(shortlists: Shortlists, l2: float, k: int, rng: np.random.Generator) -> float:
    """NDCG at k on each half of the queries under the weights found on the other, averaged."""
    order = rng.permutation(len(shortlists))
    halves = [shortlists.take(rows) for rows in (order[: len(order) // 2], order[len(order) // 2 :])]
    return float(np.mean([held.ndcg(held.summed(likeliest(seen, l2)), k) for seen, held in (halves, halves[::-1])]))
