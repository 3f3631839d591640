"""The user tower as ONNX: the trained transformer, written node by node for histories of any length."""

# L entries of a history, D embedding, H heads, E a head's dimensions

from __future__ import annotations

from pathlib import Path

import numpy as np

from genre.component import Arrays
from genre.publishing.graph import Graph

TOWER = "tower.onnx"


def write_tower(state: Arrays, heads: int, file: Path) -> None:
    """From the state of a `sequential` ranker: `history` (L, D), the vectors of its entries, to `user` (D), what is to be scored with.

    Only the newest place is wanted, so the last block computes nothing for the others but their keys and values.
    """
    graph = Graph()
    dim = state["tower.position_LD"].shape[1]
    x_LD = graph.add("Add", "history", _positions(graph, state["tower.position_LD"]))
    blocks = len({name.split(".")[2] for name in state if name.startswith("tower.blocks.")})
    for i in range(blocks):
        block = {name.removeprefix(f"tower.blocks.{i}."): value for name, value in state.items() if name.startswith(f"tower.blocks.{i}.")}
        x_LD = _block(graph, x_LD, block, heads, last=i == blocks - 1)
    user_1D = _norm(graph, x_LD, state, "tower.norm")
    user_D = graph.add("Reshape", user_1D, graph.constant(np.array([dim], np.int64)))
    graph.write(file, ("history", ["length", dim]), user_D, ("user", [dim]))


def _positions(graph: Graph, position_LD: np.ndarray) -> str:
    length = graph.add("Shape", "history", start=0, end=1)
    return graph.add("Slice", graph.constant(position_LD), graph.constant(np.array([0], np.int64)), length)


def _block(graph: Graph, x_LD: str, block: Arrays, heads: int, last: bool) -> str:
    normed_LD = _norm(graph, x_LD, block, "attention_norm")
    weight_3DD, bias_3D = block["query_key_value.weight"], block["query_key_value.bias"]
    d = weight_3DD.shape[1]
    asking_LD = _newest(graph, normed_LD) if last else normed_LD
    query, key, value = (
        _split(graph, _linear(graph, source, weight_3DD[part * d : (part + 1) * d], bias_3D[part * d : (part + 1) * d]), heads, d, order)
        for part, source, order in ((0, asking_LD, [1, 0, 2]), (1, normed_LD, [1, 2, 0]), (2, normed_LD, [1, 0, 2]))
    )
    logits_HLL = graph.add("Mul", graph.add("MatMul", query, key), graph.constant(np.float32((d // heads) ** -0.5)))
    if not last:
        logits_HLL = graph.add("Add", logits_HLL, _causal(graph, x_LD))
    mixed_HLE = graph.add("MatMul", graph.add("Softmax", logits_HLL, axis=-1), value)
    mixed_LD = graph.add("Reshape", graph.add("Transpose", mixed_HLE, perm=[1, 0, 2]), graph.constant(np.array([-1, d], np.int64)))
    if last:
        x_LD = _newest(graph, x_LD)
    x_LD = graph.add("Add", x_LD, _linear(graph, mixed_LD, block["attention_out.weight"], block["attention_out.bias"]))
    wide = _linear(graph, _norm(graph, x_LD, block, "feed_norm"), block["feed_in.weight"], block["feed_in.bias"])
    fed_LD = _linear(graph, graph.add("Gelu", wide), block["feed_out.weight"], block["feed_out.bias"])
    return graph.add("Add", x_LD, fed_LD)


def _newest(graph: Graph, x_LD: str) -> str:
    return graph.add("Gather", x_LD, graph.constant(np.array([-1], np.int64)), axis=0)


def _split(graph: Graph, x_LD: str, heads: int, d: int, order: list[int]) -> str:
    shape = graph.constant(np.array([-1, heads, d // heads], np.int64))
    return graph.add("Transpose", graph.add("Reshape", x_LD, shape), perm=order)


def _causal(graph: Graph, x_LD: str) -> str:
    """(L, L): minus infinity where a place would look to its right, else 0."""
    length = graph.add("Shape", x_LD, start=0, end=1)
    square = graph.add("Concat", length, length, axis=0)
    blocked = graph.add("Expand", graph.constant(np.array([[-np.inf]], np.float32)), square)
    return graph.add("Trilu", blocked, graph.constant(np.array(1, np.int64)), upper=1)


def _linear(graph: Graph, x_LD: str, weight: np.ndarray, bias: np.ndarray) -> str:
    return graph.add("Gemm", x_LD, graph.constant(weight.T), graph.constant(bias))


def _norm(graph: Graph, x_LD: str, state: Arrays, name: str) -> str:
    scale, shift = graph.constant(state[f"{name}.weight"]), graph.constant(state[f"{name}.bias"])
    return graph.add("LayerNormalization", x_LD, scale, shift, axis=-1, epsilon=1e-5)
