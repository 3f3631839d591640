"""EASE: the linear autoencoder that has a closed form (Steck, 2019)."""

# B queries, U users, N items, K items that take part

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from genre.component import Arrays
from genre.fading import faded_counts_N
from genre.floor import floor_N
from genre.rankers import Ranker
from genre.types import Bools, Floats, Histories, Training

log = logging.getLogger(__name__)


class EASERanker(Ranker):
    """Predicts every item from the others by ridge regression; the history's newer items count more when scoring.

    Time grows with the cube of the items and memory with their square, so only the `max_items` most popular take part. The rest is
    scored below them and ignored in histories; a warning says how many interactions that leaves out.
    """

    class Config(Ranker.Config):
        use: str = "ease"
        l2: PositiveFloat = 500.0
        """Ridge penalty: larger trusts few co-occurrences less."""
        decay: Annotated[float, Field(gt=0, le=1)] = 0.8
        """Weight of each step of the history relative to the one after it, when scoring."""
        sitting_seconds: NonNegativeFloat | None = 0.0
        """Events at most this far apart are one step (0: the same time stamp, a basket). None: each is a step."""
        half_life_days: PositiveFloat | None = None
        """Days after which an interaction counts half in training; None counts all of them alike."""
        max_items: PositiveInt = 12_500
        """Most popular items that take part: 12,500 need 1.3 GB while fitting, 0.6 GB after. For more, use item_knn or transitions."""

    config: Config

    def fit(self, training: Training, folder: Path) -> None:
        """Invert the item-item matrix; see Ranker.fit."""
        from genre.rankers.neighbours import touched_UN

        count_N = training.counts_N()
        by_count_N = np.argsort(-count_N, kind="stable")[: self.config.max_items]
        self.item_K = np.sort(by_count_N[count_N[by_count_N] > 0]).astype(np.int64)
        covered = count_N[self.item_K].sum() / max(count_N.sum(), 1)
        if covered < 1:
            log.warning(
                "ease: only the %d most popular of %d items take part, with %.0f %% of the interactions; "
                "raise max_items, or use item_knn or transitions, which take them all",
                len(self.item_K), training.n_items, 100 * covered,
            )  # fmt: skip
        touched_UK = touched_UN(training.histories, training.n_items, self.config.half_life_days)[:, self.item_K]
        self.weight_KK = ease_weights((touched_UK.T @ touched_UK).toarray(), self.config.l2)
        self.count_N = faded_counts_N(training.histories, training.n_items, self.config.half_life_days)

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """Predicted touches; items that take no part just below the lowest, an empty history by popularity."""
        from genre.rankers.neighbours import recency_BN

        history_BK = recency_BN(queries, len(self.count_N), self.config.decay, self.config.sitting_seconds)[:, self.item_K]
        score_BK = (history_BK @ self.weight_KK).astype(np.float32)
        scores: npt.NDArray[np.float32] = score_BK.min(axis=1, keepdims=True, initial=0) + floor_N(self.count_N)
        scores[:, self.item_K] = np.where(np.diff(history_BK.indptr)[:, None] > 0, score_BK, scores[:, self.item_K])
        return scores

    def known(self) -> Bools:
        """Items that take part."""
        return np.isin(np.arange(len(self.count_N)), self.item_K)

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """New items take no part."""
        self.count_N = np.concatenate([self.count_N, np.zeros(m, np.float32)])

    def state(self) -> Arrays:
        """The weights, whose they are, and the counts."""
        return {"weight_KK": self.weight_KK, "item_K": self.item_K, "count_N": self.count_N}

    def restore(self, state: Arrays) -> None:
        """Take them back."""
        self.weight_KK, self.item_K, self.count_N = state["weight_KK"], state["item_K"], state["count_N"]


def ease_weights(gram_KK: Floats, l2: float) -> npt.NDArray[np.float32]:
    """Weights whose column j predicts item j from the others: with P = (G + l2 I)^-1, B_ij = -P_ij / P_jj and B_jj = 0."""
    from scipy.linalg.lapack import dpotrf, dpotri

    k = len(gram_KK)
    if gram_KK.shape != (k, k):
        raise ValueError(f"the item-item matrix must be square, not {gram_KK.shape}")
    if k == 0:
        return np.empty((0, 0), np.float32)
    gram = np.asfortranarray(gram_KK, np.float64)
    gram[np.diag_indices(k)] += l2
    factor, _ = dpotrf(gram, lower=1, overwrite_a=1)  # positive definite because of l2, so Cholesky halves time and memory
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    weight_KK = np.empty((k, k), np.float32)
    diagonal_K = np.diag(inverse)
    for j in range(k):  # LAPACK fills the lower triangle only
        weight_KK[j:, j] = inverse[j:, j]
        weight_KK[j, j:] = inverse[j:, j]
    weight_KK /= -diagonal_K.astype(np.float32)
    weight_KK[np.diag_indices(k)] = 0.0
    return weight_KK
