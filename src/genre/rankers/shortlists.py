"""Shortlists: what several rankers say of the few candidates that matter to a held-out query."""

# M rankers, B or Q held-out queries, N items, C candidates of a query (padded), E candidates one after another, T targets

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genre.types import Bools, Floats, GroundTruth, Ints


@dataclass(frozen=True)
class Shortlists:
    """The candidates of held-out queries: every ranker's best, the targets, and a few others at random.

    The others stand for all that were not drawn. Without them a target that no ranker believes in would be found in a company much better
    than the catalogue, and the rankers would seem to be wrong.

    Attributes:
        score_MQC: what each ranker gives each candidate; 0 at padding.
        target_QC: which candidates really came next.
        log_copies_QC: logarithm of how many items of the catalogue a candidate stands for; minus infinity at padding.
        relevant_Q: how many targets a query has, shown or not.
    """

    score_MQC: npt.NDArray[np.float32]
    target_QC: Bools
    log_copies_QC: npt.NDArray[np.float32]
    relevant_Q: Ints

    @classmethod
    def of(
        cls,
        score_MBN: Sequence[npt.NDArray[np.float32]],
        truth: GroundTruth,
        top: int,
        repeats: bool,
        others: int,
        rng: np.random.Generator,
    ) -> Shortlists:
        """The `top` best items of each ranker, the targets and so many `others`; items of the history only where they may be repeated."""
        seen, shape = truth.queries.seen, score_MBN[0].shape
        allowed_BN, picked_BN, target_BN = np.ones(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
        target_BN[truth.owner_E(), truth.target_E] = True
        if not repeats:
            allowed_BN[seen.owner_E(), seen.item_idx_E] = False
        for score_BN in score_MBN:
            best_BK = np.argpartition(np.where(allowed_BN, score_BN, -np.inf), -min(top, shape[1]), axis=1)[:, -min(top, shape[1]) :]
            np.put_along_axis(picked_BN, best_BK, True, axis=1)
        picked_BN = (picked_BN | target_BN) & allowed_BN
        rest_BN = allowed_BN & ~picked_BN
        drawn_BN = draw(rest_BN, others, rng)
        copies_B = rest_BN.sum(axis=1) / np.maximum(drawn_BN.sum(axis=1), 1)
        row_E, item_E = np.nonzero(picked_BN | drawn_BN)
        count_B = np.bincount(row_E, minlength=shape[0])
        slot_E = np.arange(len(row_E)) - np.repeat(np.cumsum(count_B) - count_B, count_B)
        width = int(count_B.max(initial=0))
        score_MQC = np.zeros((len(score_MBN), shape[0], width), np.float32)
        for i, score_BN in enumerate(score_MBN):
            score_MQC[i, row_E, slot_E] = score_BN[row_E, item_E]
        target_QC, log_copies_QC = np.zeros((shape[0], width), bool), np.full((shape[0], width), -np.inf, np.float32)
        target_QC[row_E, slot_E] = target_BN[row_E, item_E]
        log_copies_QC[row_E, slot_E] = np.where(picked_BN[row_E, item_E], 0.0, np.log(np.maximum(copies_B, 1))[row_E])
        return cls(score_MQC, target_QC, log_copies_QC, target_BN.sum(axis=1))

    @classmethod
    def joined(cls, parts: Sequence[Shortlists]) -> Shortlists:
        """Several batches as one, padded to the widest."""
        width = max(part.target_QC.shape[1] for part in parts)
        gaps = [width - part.target_QC.shape[1] for part in parts]
        return cls(
            np.concatenate([np.pad(part.score_MQC, ((0, 0), (0, 0), (0, gap))) for part, gap in zip(parts, gaps, strict=True)], axis=1),
            np.concatenate([np.pad(part.target_QC, ((0, 0), (0, gap))) for part, gap in zip(parts, gaps, strict=True)]),
            np.concatenate(
                [np.pad(part.log_copies_QC, ((0, 0), (0, gap)), constant_values=-np.inf) for part, gap in zip(parts, gaps, strict=True)]
            ),
            np.concatenate([part.relevant_Q for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.relevant_Q)

    def take(self, rows: Ints) -> Shortlists:
        """Some of the queries."""
        return Shortlists(self.score_MQC[:, rows], self.target_QC[rows], self.log_copies_QC[rows], self.relevant_Q[rows])

    def summed(self, weight_M: Floats) -> npt.NDArray[np.float32]:
        """The weighted sum of the rankers' scores, shape (Q, C); minus infinity at padding."""
        total_QC: npt.NDArray[np.float32] = np.where(np.isinf(self.log_copies_QC), self.log_copies_QC, np.float32(0))
        for weight, score_QC in zip(weight_M, self.score_MQC, strict=True):
            total_QC += np.float32(weight) * score_QC
        return total_QC

    def times(self, factor_MQ: Floats) -> Shortlists:
        """The same candidates, each ranker's scores for a query multiplied by a factor."""
        return replace(self, score_MQC=self.score_MQC * factor_MQ[:, :, None].astype(np.float32))

    def ndcg_Q(self, score_QC: Floats, k: int) -> npt.NDArray[np.float64]:
        """NDCG at k of each query when the candidates are ordered by these scores."""
        return ndcg_Q(score_QC, self.target_QC, self.relevant_Q, k)


def draw(from_BN: Bools, n: int, rng: np.random.Generator) -> Bools:
    """n of the true places of each row at random, or all where there are fewer."""
    if n == 0 or not from_BN.size:
        return np.zeros_like(from_BN)
    noise_BN = np.where(from_BN, rng.random(from_BN.shape, np.float32), np.float32(2))
    nth_B1 = np.partition(noise_BN, min(n, from_BN.shape[1]) - 1, axis=1)[:, [min(n, from_BN.shape[1]) - 1]]
    return from_BN & (noise_BN <= nth_B1)


def ndcg_Q(score_QC: Floats, target_QC: Bools, relevant_Q: Ints, k: int) -> npt.NDArray[np.float64]:
    """NDCG at k of each query (Järvelin and Kekäläinen, 2002); ties are broken against the target."""
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
    return np.asarray(np.bincount(query_T, gain_T, len(score_QC)) / ideal_Q, np.float64)
