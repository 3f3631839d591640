"""The coarse scan as ONNX: dot products of one vector with every item in eight bits, an order of magnitude faster than in floats."""

# N items, D dimensions

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.publishing.graph import Graph
from genre.types import Floats

SCAN = "scan.onnx"


def write_scan(vector_ND: Floats, file: Path) -> None:
    """`vector` (1, D) to `scores` (1, N), good enough to find the thousand items that are then scored exactly."""
    byte_ND, scale_N = quantised(vector_ND)
    graph = Graph()
    byte_1D, scale, zero = graph.add_many("DynamicQuantizeLinear", "vector", outputs=3)
    whole_1N = graph.add("MatMulInteger", byte_1D, graph.constant(byte_ND.T), zero)
    scaled_1N = graph.add("Mul", graph.add("Cast", whole_1N, to=1), scale)
    score_1N = graph.add("Mul", scaled_1N, graph.constant(scale_N))
    graph.write(file, ("vector", [1, vector_ND.shape[1]]), score_1N, ("scores", [1, len(vector_ND)]))


def quantised(vector_ND: Floats) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Bytes and one factor a row: vector = byte * factor, within half a step of 1/127 of the row's largest entry."""
    scale_N = np.abs(vector_ND).max(axis=1, initial=0) / 127
    byte_ND = np.round(vector_ND / np.where(scale_N > 0, scale_N, 1)[:, None]).astype(np.int8)
    return byte_ND, scale_N.astype(np.float32)
