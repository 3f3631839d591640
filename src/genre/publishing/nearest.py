"""The approximate index: for catalogues too large to scan, inverted lists (faiss) that are searched as far as recall asks for."""

# N items, D dimensions, Q sample queries, K nearest

from __future__ import annotations

import importlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genre.publishing.sampling import NEAREST, best, recall, sample_queries

log = logging.getLogger(__name__)

INDEX, SETTINGS = "nearest.faiss", "nearest.json"
RECALL = 0.98
"""So much of what is truly nearest must be found."""
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
    true_QK = best(vector_ND, query_QD, NEAREST)
    probes, reached = 4, 0.0
    while reached < RECALL and probes < lists:
        probes = min(2 * probes, lists)
        found_QK = index.search(query_QD, NEAREST, params=faiss.SearchParametersIVF(nprobe=probes))[1]
        reached = recall(true_QK, found_QK)
    faiss.write_index(index, str(folder / INDEX))
    (folder / SETTINGS).write_text(json.dumps({"probes": probes, "lists": lists, "recall": round(reached, 4)}) + "\n")
    log.info("index of %d items: %d of %d lists looked into, recall %.3f", len(vector_ND), probes, lists, reached)
