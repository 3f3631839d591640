"""The coarse scan as ONNX: dot products of one vector with every item in eight bits, an order of magnitude faster than in floats."""

# N items, D dimensions, A axes kept, Q sample queries, K best

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.publishing.graph import Graph
from genre.publishing.sampling import NEAREST, best, recall, sample_queries
from genre.types import Floats

SCAN = "scan.onnx"
SMALL = 10_000
"""Items below which there is nothing to save."""
RECALL, SPARE = 0.995, 1.2
"""So much of the true best must be among a fifth more."""


def write_scan(vector_ND: npt.NDArray[np.float32], file: Path) -> None:
    """`vector` (1, D) to `scores` (1, N), good enough to find the few hundred items that are then scored exactly.

    Along the principal axes trained vectors need few numbers to be told apart, and a scan costs what it reads: a quarter of the axes is
    a quarter of the time.
    """
    axes_DA = kept_axes(vector_ND, np.random.default_rng(0))
    byte_NA, scale_N = quantised(vector_ND @ axes_DA)
    graph = Graph()
    turned_1A = graph.add("MatMul", "vector", graph.constant(axes_DA))
    byte_1A, scale, zero = graph.add_many("DynamicQuantizeLinear", turned_1A, outputs=3)
    whole_1N = graph.add("MatMulInteger", byte_1A, graph.constant(byte_NA.T), zero)
    scaled_1N = graph.add("Mul", graph.add("Cast", whole_1N, to=1), scale)
    score_1N = graph.add("Mul", scaled_1N, graph.constant(scale_N))
    graph.write(file, ("vector", [1, vector_ND.shape[1]]), score_1N, ("scores", [1, len(vector_ND)]))


def kept_axes(vector_ND: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The fewest principal axes, by quarters, that find nearly all of the true best among a few more; all axes of a small catalogue."""
    dim = vector_ND.shape[1]
    _, axes_DD = np.linalg.eigh(vector_ND.T @ vector_ND)
    axes_DD = np.ascontiguousarray(axes_DD[:, ::-1], np.float32)
    if len(vector_ND) < SMALL:
        return axes_DD
    query_QD = sample_queries(vector_ND, rng)
    true_QK = best(vector_ND, query_QD, NEAREST)
    for kept in range(max(dim // 4, 1), dim, max(dim // 4, 1)):
        axes_DA = np.ascontiguousarray(axes_DD[:, :kept])
        if recall(true_QK, best(vector_ND @ axes_DA, query_QD @ axes_DA, int(NEAREST * SPARE))) >= RECALL:
            return axes_DA
    return axes_DD


def quantised(vector_ND: Floats) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Bytes and one factor a row: vector = byte * factor, within half a step of 1/127 of the row's largest entry."""
    scale_N = np.abs(vector_ND).max(axis=1, initial=0) / 127
    byte_ND = np.round(vector_ND / np.where(scale_N > 0, scale_N, 1)[:, None]).astype(np.int8)
    return byte_ND, scale_N.astype(np.float32)
