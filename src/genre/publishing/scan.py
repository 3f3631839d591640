"""The coarse scan as ONNX: dot products of one vector with every item in four bits, for a scan costs what it reads."""

# N items, D dimensions, A axes kept, G groups of axes, Q sample queries, K best

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.publishing.graph import RUNTIMES, Graph
from genre.publishing.sampling import NEAREST, best, recall, sample_queries
from genre.types import Floats

SCAN = "scan.onnx"
SMALL = 10_000
"""Items below which there is nothing to save."""
RECALL, SPARE = 0.98, 1.5
"""So much of the true best must be among half as many more."""
GROUP = 64
"""Axes that share a factor."""
MIDDLE, STEPS = 8, 7
"""Four bits: 0 to 15 stand for -8 to 7; the largest entry of a group is put at 7 steps from the middle."""


def write_scan(vector_ND: npt.NDArray[np.float32], file: Path) -> None:
    """`vector` (1, D) to `scores` (1, N), good enough to find the few hundred items that are then scored exactly."""
    axes_DA = kept_axes(vector_ND, np.random.default_rng(0))
    step_NA, factor_NG = quantised(vector_ND @ axes_DA)
    n, kept = step_NA.shape
    packed_NG = (step_NA[:, 0::2] | (step_NA[:, 1::2] << 4)).reshape(n, kept // GROUP, GROUP // 2)
    graph = Graph()
    turned_1A = graph.add("MatMul", "vector", graph.constant(axes_DA))
    score_1N = graph.add(
        "MatMulNBits", turned_1A, graph.constant(packed_NG), graph.constant(factor_NG.ravel()),
        domain=RUNTIMES, K=kept, N=n, bits=4, block_size=GROUP, accuracy_level=4,  # 4: it may round the query to bytes
    )  # fmt: skip
    graph.write(file, ("vector", [1, vector_ND.shape[1]]), score_1N, ("scores", [1, n]))


def kept_axes(vector_ND: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """As few principal axes as still find nearly all of the true best, by groups; turned at random, so that all reach equally far.

    Trained vectors differ along few axes. Four bits serve best where no axis of a group outgrows the others.
    """
    dim = vector_ND.shape[1]
    most = -(-dim // GROUP) * GROUP
    _, axes_DD = np.linalg.eigh(vector_ND.T @ vector_ND)
    axes_DA = np.zeros((dim, most), np.float32)
    axes_DA[:, :dim] = axes_DD[:, ::-1]
    turns = {kept: turn(kept, rng) for kept in range(GROUP, most + 1, GROUP)}
    if len(vector_ND) >= SMALL:
        query_QD = sample_queries(vector_ND, rng)
        true_QK = best(vector_ND, query_QD, NEAREST)
        for kept in range(GROUP, most, GROUP):
            turned_DA = axes_DA[:, :kept] @ turns[kept]
            found_QK = best(restored(*quantised(vector_ND @ turned_DA)), query_QD @ turned_DA, int(NEAREST * SPARE))
            if recall(true_QK, found_QK) >= RECALL:
                return turned_DA
    return axes_DA @ turns[most]


def turn(size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A random rotation, shape (A, A)."""
    return np.linalg.qr(rng.normal(size=(size, size)))[0].astype(np.float32)


def quantised(vector_NA: Floats) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Steps and each group's factor, (N, A) and (N, G): vector = (step - 8) * factor, within half a factor."""
    grouped_NGA = vector_NA.reshape(len(vector_NA), -1, GROUP)
    factor_NG = np.abs(grouped_NGA).max(axis=2) / STEPS
    step_NGA = np.round(grouped_NGA / np.where(factor_NG > 0, factor_NG, 1)[..., None]) + MIDDLE
    return step_NGA.astype(np.uint8).reshape(vector_NA.shape), factor_NG.astype(np.float32)


def restored(step_NA: npt.NDArray[np.uint8], factor_NG: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What is left of vectors in four bits."""
    return (step_NA.astype(np.float32) - MIDDLE) * np.repeat(factor_NG, GROUP, axis=1)
