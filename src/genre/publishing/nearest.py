"""The approximate index: for catalogues too large to scan, inverted lists (faiss) that are searched as far as recall asks for."""

# N items, D dimensions, Q sample queries, K neighbours

from __future__ import annotations

import importlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genre.types import Floats

log = logging.getLogger(__name__)

INDEX, SETTINGS = "nearest.faiss", "nearest.json"
RECALL, NEAREST, QUERIES = 0.98, 300, 100
"""So much of the true best 300 must be found, on average over each half of a hundred queries."""
ROUNDS, POINTS = 8, 64
"""Of k-means: iterations, and items a list that it learns from."""
CHUNK = 65_536


def write_index(vector_ND: npt.NDArray[np.float32], folder: Path, seed: int = 0) -> None:
    """`nearest.faiss`, lists of bytes, and `nearest.json`: how many lists to look into, and the recall that this reached here."""
    faiss: Any = importlib.import_module("faiss")
    rng = np.random.default_rng(seed)
    lists = int(4 * np.sqrt(len(vector_ND)))
    index = faiss.index_factory(vector_ND.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    inverted = faiss.extract_index_ivf(index)
    inverted.cp.niter, inverted.cp.max_points_per_centroid, inverted.cp.seed = ROUNDS, POINTS, seed
    index.train(np.ascontiguousarray(vector_ND[rng.permutation(len(vector_ND))[: POINTS * lists]]))
    for start in range(0, len(vector_ND), CHUNK):
        index.add(np.ascontiguousarray(vector_ND[start : start + CHUNK]))
    query_QD = sample_queries(vector_ND, rng)
    true_QK = true_best(vector_ND, query_QD, NEAREST)
    probes, reached = 4, 0.0
    while reached < RECALL and probes < lists:
        probes = min(2 * probes, lists)
        found_QK = index.search(query_QD, NEAREST, params=faiss.SearchParametersIVF(nprobe=probes))[1]
        hits_Q = [len(np.intersect1d(true, found)) / len(true) for true, found in zip(true_QK, found_QK, strict=True)]
        reached = min(float(np.mean(hits_Q[: QUERIES // 2])), float(np.mean(hits_Q[QUERIES // 2 :])))
    faiss.write_index(index, str(folder / INDEX))
    (folder / SETTINGS).write_text(json.dumps({"probes": probes, "lists": lists, "recall": round(reached, 4)}) + "\n")
    log.info("index of %d items: %d of %d lists looked into, recall %.3f", len(vector_ND), probes, lists, reached)


def sample_queries(vector_ND: Floats, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Half of them means of a few random items, as histories are; half in any direction in which items differ, as users may be."""
    drawn = (rng.integers(len(vector_ND), size=rng.integers(1, 6)) for _ in range(QUERIES // 2))
    means = [vector_ND[some].mean(axis=0) for some in drawn]
    mixed = [rng.normal(size=50) @ vector_ND[rng.integers(len(vector_ND), size=50)] for _ in range(QUERIES // 2)]
    return np.stack([*means, *mixed]).astype(np.float32)


def true_best(vector_ND: Floats, query_QD: Floats, k: int) -> npt.NDArray[np.int64]:
    """Each query's k items with the largest dot products, in no order."""
    k = min(k, len(vector_ND))
    return np.stack([np.argpartition(-(vector_ND @ query_D), k - 1)[:k] for query_D in query_QD]).astype(np.int64)
