"""Item neighbours: items touched by the same users, whatever the order (Sarwar et al., 2001)."""

# B queries, U users, N items

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from genre.component import Arrays
from genre.fading import faded_counts_N
from genre.progress import track
from genre.rankers import Ranker
from genre.rankers.neighbours import blocks, from_arrays, grown, grown_by_zeros, multiply, recency_BN, strongest, to_arrays, touched_UN
from genre.types import Bools, Histories, Training

PRODUCTS_AT_ONCE = 1 << 24


class ItemKNNRanker(Ranker):
    """Sums the similarities of an item to the history's items, the newer of which count more."""

    class Config(Ranker.Config):
        use: str = "item_knn"
        similarity: Literal["cosine", "bm25"] = "cosine"
        """Cosine of the users who touched two items, or the same after BM25 weights (rare items and short histories count more)."""
        neighbours: PositiveInt = 200
        """Similar items kept for each item."""
        shrinkage: NonNegativeFloat = 20.0
        """Added to the product of the norms: pairs seen together by few users are believed less."""
        decay: Annotated[float, Field(gt=0, le=1)] = 0.7
        """Weight of each step of the history relative to the one after it, when scoring."""
        sitting_seconds: NonNegativeFloat | None = 0.0
        """Events at most this far apart are one step (0: the same time stamp, a basket). None: each is a step."""
        half_life_days: PositiveFloat | None = None
        """Days after which an interaction counts half in training; None counts all of them alike."""
        max_history: PositiveInt = 500
        """Newest entries of each user learnt from; bounds the cost of a user with very many."""

    config: Config

    def fit(self, training: Training, folder: Path) -> None:
        """Compare the items, a block of them at a time; see Ranker.fit."""
        config = self.config
        histories = training.histories.newest(config.max_history)
        users_UN = touched_UN(histories, training.n_items, config.half_life_days)
        if config.similarity == "bm25":
            users_UN = bm25(users_UN)
        items_NU = sparse.csr_array(users_UN.T)
        norm_N = np.sqrt(np.asarray((items_NU * items_NU).sum(axis=1)).ravel())
        products_N = (items_NU > 0).astype(np.int64) @ np.diff(users_UN.indptr).astype(np.int64)
        kept = []
        for block in track(list(blocks(products_N, PRODUCTS_AT_ONCE)), "comparing items"):
            alike = sparse.coo_array(items_NU[block] @ users_UN)
            row, column = alike.coords
            alike.data /= norm_N[block][row] * norm_N[column] + config.shrinkage
            alike.data[row + block.start == column] = 0.0
            alike.eliminate_zeros()
            kept.append(strongest(alike, config.neighbours))
        self.weights_NN = sparse.vstack(kept, format="csr")
        self.count_N = faded_counts_N(training.histories, training.n_items, config.half_life_days)

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """The root of the summed similarities; what no history item is similar to comes after, by popularity, and untouched items last."""
        history_BN = recency_BN(queries, len(self.count_N), self.config.decay, self.config.sitting_seconds)
        return multiply(history_BN, self.weights_NN, self.count_N)

    def known(self) -> Bools:
        """Items that somebody touched."""
        return self.count_N > 0

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """New items have no neighbours."""
        self.weights_NN, self.count_N = grown(self.weights_NN, m), grown_by_zeros(self.count_N, m)

    def state(self) -> Arrays:
        """Similarities and counts."""
        return {**to_arrays(self.weights_NN), "count_N": self.count_N}

    def restore(self, state: Arrays) -> None:
        """Take them back."""
        self.weights_NN, self.count_N = from_arrays(state), state["count_N"]


def bm25(users_UN: Any, k1: float = 1.2, b: float = 0.75) -> Any:
    """Okapi weights (Robertson et al., 1995) of a matrix whose documents are users and whose words are items."""
    length_U = np.diff(users_UN.indptr)
    users_N = np.bincount(users_UN.indices, minlength=users_UN.shape[1])
    rarity_N = np.log1p(users_UN.shape[0] / np.maximum(users_N, 1))
    saturation_U = (k1 + 1) / (1 + k1 * (1 - b + b * length_U / max(length_U.mean(), 1e-9)))
    weighted = users_UN.data * np.repeat(saturation_U, length_U) * rarity_N[users_UN.indices]
    return sparse.csr_array((weighted.astype(np.float32), users_UN.indices, users_UN.indptr), shape=users_UN.shape)
