"""Item-to-item weights: what a history adds up to, and the few neighbours of each item that are worth keeping."""

# B queries, E history entries, N items; a weight stands at (item of the history, candidate)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from genre.component import Arrays
from genre.fading import faded_E
from genre.floor import floor_N
from genre.sittings import ages_E
from genre.types import Floats, Histories, Ints

ROWS_AT_ONCE = 256


def recency_BN(queries: Histories, n_items: int, decay: float, sitting_seconds: float | None = None) -> Any:
    """Sparse (B, N): each query's items, weighted by decay^age; an item met twice has the sum."""
    weight_E = (decay ** ages_E(queries, sitting_seconds)).astype(np.float32)
    # A copy, since summing duplicates happens in place and the histories belong to the caller.
    matrix = sparse.csr_array((weight_E, queries.item_idx_E, queries.offsets), shape=(len(queries), n_items), copy=True)
    matrix.sum_duplicates()
    return matrix


def touched_UN(histories: Histories, n_items: int, half_life_days: float | None = None) -> Any:
    """Sparse (U, N): 1 where a user touched an item, or less if all that was long ago: items multiply to what one interaction is worth."""
    matrix = recency_BN(histories, n_items, 1.0)
    if half_life_days is None:
        matrix.data[:] = 1.0
        return matrix
    weight_E = np.sqrt(faded_E(histories.time_E, half_life_days))
    newest_first = np.lexsort((-weight_E, histories.item_idx_E, histories.owner_E()))
    owner_E, item_E = histories.owner_E()[newest_first], histories.item_idx_E[newest_first]
    first = np.ones(len(item_E), bool)
    first[1:] = (owner_E[1:] != owner_E[:-1]) | (item_E[1:] != item_E[:-1])
    matrix.sort_indices()
    matrix.data[:] = weight_E[newest_first][first]
    return matrix


def multiply(history_BN: Any, weights_NN: Any, popularity_N: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Dense scores (B, N): the root of the summed weights from a history; items that nothing points to follow, the most popular first.

    The root changes no order. It makes sums of counts fit to be added to what other rankers say: twice the count is not twice the evidence.
    Weights must not be negative. What nothing points to scores between -FLOOR (never touched) and 0 (the most popular).
    """
    scores = np.empty((history_BN.shape[0], weights_NN.shape[1]), np.float32)
    for start in range(0, len(scores), ROWS_AT_ONCE):  # a sparse product of many rows would need more memory than its dense result
        rows = slice(start, start + ROWS_AT_ONCE)
        linked = history_BN[rows] @ weights_NN
        linked.data = np.sqrt(linked.data)
        scores[rows] = linked.toarray()
    return np.where(scores > 0, scores, floor_N(popularity_N))


def strongest(weights_NN: Any, k: int) -> Any:
    """Each row's k largest weights, as float32 CSR."""
    weights = sparse.csr_array(weights_NN)
    keep = np.ones(weights.nnz, bool)
    for row in np.flatnonzero(np.diff(weights.indptr) > k):
        start, stop = weights.indptr[row], weights.indptr[row + 1]
        keep[start + np.argpartition(weights.data[start:stop], -k)[:-k]] = False
    row_starts = np.concatenate([[0], np.cumsum(keep)])[weights.indptr]
    return sparse.csr_array((weights.data[keep].astype(np.float32), weights.indices[keep], row_starts), shape=weights.shape)


def blocks(cost_N: Ints, budget: int) -> Iterator[slice]:
    """Consecutive items whose costs sum to at most the budget; an item dearer than that is a block of its own."""
    start, total = 0, np.concatenate([[0], np.cumsum(cost_N, dtype=np.int64)])
    while start < len(cost_N):
        stop = max(int(np.searchsorted(total, total[start] + budget, side="right")) - 1, start + 1)
        yield slice(start, stop)
        start = stop


def grown(weights_NN: Any, m: int) -> Any:
    """The same weights among m more items, which have none."""
    n = weights_NN.shape[0] + m
    starts = np.concatenate([weights_NN.indptr, np.full(m, weights_NN.indptr[-1], weights_NN.indptr.dtype)])
    return sparse.csr_array((weights_NN.data, weights_NN.indices, starts), shape=(n, n))


def grown_by_zeros(values_N: Floats, m: int) -> npt.NDArray[np.float32]:
    """The same values with m zeros behind them."""
    return np.concatenate([values_N, np.zeros(m)]).astype(np.float32)


def to_arrays(weights_NN: Any) -> Arrays:
    """A square CSR matrix as the arrays that are saved."""
    return {"row_starts": weights_NN.indptr, "columns": weights_NN.indices, "weights": weights_NN.data}


def from_arrays(state: Arrays) -> Any:
    """The matrix that `to_arrays` took apart."""
    n = len(state["row_starts"]) - 1
    return sparse.csr_array((state["weights"], state["columns"], state["row_starts"]), shape=(n, n))
