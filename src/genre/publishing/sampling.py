"""Sample queries, against which every shortcut of a search is measured before it is published."""

# N items, D dimensions, Q queries, K best

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Floats, Ints

QUERIES = 100
NEAREST = 300
"""How many of the true best a shortcut has to find."""


def sample_queries(vector_ND: Floats, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Half of them means of a few random items, as histories are; half in any direction in which items differ, as users may be."""
    drawn = (rng.integers(len(vector_ND), size=rng.integers(1, 6)) for _ in range(QUERIES // 2))
    means = [vector_ND[some].mean(axis=0) for some in drawn]
    mixed = [rng.normal(size=50) @ vector_ND[rng.integers(len(vector_ND), size=50)] for _ in range(QUERIES // 2)]
    return np.stack([*means, *mixed]).astype(np.float32)


def best(vector_ND: Floats, query_QD: Floats, k: int) -> npt.NDArray[np.int64]:
    """Each query's k items with the largest dot products, in no order."""
    k = min(k, len(vector_ND))
    return np.stack([np.argpartition(-(vector_ND @ query_D), k - 1)[:k] for query_D in query_QD]).astype(np.int64)


def recall(true_QK: Ints, found_QK: Ints) -> float:
    """The share of the true best that was found: the mean over each half of the queries, and of the two the lower."""
    hits_Q = [len(np.intersect1d(true, found)) / len(true) for true, found in zip(true_QK, found_QK, strict=True)]
    return min(float(np.mean(hits_Q[: len(hits_Q) // 2])), float(np.mean(hits_Q[len(hits_Q) // 2 :])))
