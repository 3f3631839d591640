"""Shortlists: what several rankers say of the few candidates that matter to a held-out query."""

# M rankers, B or Q held-out queries, N items, C candidates of a query (padded), E candidates one after another, T targets

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre.types import Bools, Floats, GroundTruth, Ints


@dataclass(frozen=True)
class Shortlists:
    """The candidates of held-out queries: every ranker's best, and the targets.

    Attributes:
        score_MQC: what each ranker gives each candidate; 0 at padding.
        target_QC: which candidates really came next.
        pad_QC: 0 at candidates, minus infinity at padding.
        relevant_Q: how many targets a query has, shown or not.
    """

    score_MQC: npt.NDArray[np.float32]
    target_QC: Bools
    pad_QC: npt.NDArray[np.float32]
    relevant_Q: Ints

    @classmethod
    def of(cls, score_MBN: Sequence[npt.NDArray[np.float32]], truth: GroundTruth, top: int, repeats: bool) -> Shortlists:
        """The `top` best items of each ranker and the targets; items of the history only where they may be repeated."""
        n_items = score_MBN[0].shape[1]
        queries = truth.queries
        picked_BN = np.zeros((len(truth), n_items), bool)
        for score_BN in score_MBN:
            open_BN = score_BN.copy()
            if not repeats:
                open_BN[queries.owner_E(), queries.item_idx_E] = -np.inf
            best_BK = np.argpartition(open_BN, -min(top, n_items), axis=1)[:, -min(top, n_items) :]
            np.put_along_axis(picked_BN, best_BK, True, axis=1)
        target_BN = np.zeros_like(picked_BN)
        target_BN[truth.owner_E(), truth.target_E] = True
        picked_BN |= target_BN
        if not repeats:
            picked_BN[queries.owner_E(), queries.item_idx_E] = False
        row_E, item_E = np.nonzero(picked_BN)
        count_B = picked_BN.sum(axis=1)
        slot_E = np.arange(len(row_E)) - np.repeat(np.cumsum(count_B) - count_B, count_B)
        shape = (len(truth), int(count_B.max(initial=0)))
        score_MQC = np.zeros((len(score_MBN), *shape), np.float32)
        for i, score_BN in enumerate(score_MBN):
            score_MQC[i, row_E, slot_E] = score_BN[row_E, item_E]
        target_QC, pad_QC = np.zeros(shape, bool), np.full(shape, -np.inf, np.float32)
        target_QC[row_E, slot_E] = target_BN[row_E, item_E]
        pad_QC[row_E, slot_E] = 0.0
        return cls(score_MQC, target_QC, pad_QC, target_BN.sum(axis=1))

    @classmethod
    def joined(cls, parts: Sequence[Shortlists]) -> Shortlists:
        """Several batches as one, padded to the widest."""
        width = max(part.pad_QC.shape[1] for part in parts)
        gaps = [width - part.pad_QC.shape[1] for part in parts]
        return cls(
            np.concatenate([np.pad(part.score_MQC, ((0, 0), (0, 0), (0, gap))) for part, gap in zip(parts, gaps, strict=True)], axis=1),
            np.concatenate([np.pad(part.target_QC, ((0, 0), (0, gap))) for part, gap in zip(parts, gaps, strict=True)]),
            np.concatenate(
                [np.pad(part.pad_QC, ((0, 0), (0, gap)), constant_values=-np.inf) for part, gap in zip(parts, gaps, strict=True)]
            ),
            np.concatenate([part.relevant_Q for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.relevant_Q)

    def take(self, rows: Ints) -> Shortlists:
        """Some of the queries."""
        return Shortlists(self.score_MQC[:, rows], self.target_QC[rows], self.pad_QC[rows], self.relevant_Q[rows])

    def summed(self, weight_M: Floats) -> npt.NDArray[np.float32]:
        """The weighted sum of the rankers' scores, shape (Q, C)."""
        total_QC: npt.NDArray[np.float32] = self.pad_QC.copy()
        for weight, score_QC in zip(weight_M, self.score_MQC, strict=True):
            total_QC += np.float32(weight) * score_QC
        return total_QC

    def ndcg(self, score_QC: Floats, k: int) -> float:
        """Mean NDCG at k of the queries when the candidates are ordered by these scores."""
        return mean_ndcg(score_QC, self.target_QC, self.relevant_Q, k)


def mean_ndcg(score_QC: Floats, target_QC: Bools, relevant_Q: Ints, k: int) -> float:
    """NDCG at k (Järvelin and Kekäläinen, 2002) averaged over the queries; ties are broken against the target."""
    if score_QC.shape != target_QC.shape or len(relevant_Q) != len(score_QC):
        raise ValueError(f"shapes do not fit: scores {score_QC.shape}, targets {target_QC.shape}, relevant {relevant_Q.shape}")
    width = score_QC.shape[1]
    discount_k = 1 / np.log2(np.arange(2, k + 2))
    ideal_Q = np.concatenate([[0], np.cumsum(discount_k)])[np.minimum(relevant_Q, k)]
    kth_Q = np.partition(score_QC, width - k, axis=1)[:, width - k] if width > k else np.full(len(score_QC), -np.inf)
    # Only a target among the k best can count, so only those few are ranked.
    query_T, slot_T = np.nonzero(target_QC & (score_QC >= kth_Q[:, None]))
    rank_T = (score_QC[query_T] >= score_QC[query_T, slot_T][:, None]).sum(axis=1) - 1
    gain_T = np.where(rank_T < k, discount_k[np.minimum(rank_T, k - 1)], 0.0)
    return float((np.bincount(query_T, gain_T, len(score_QC)) / ideal_Q).mean())
