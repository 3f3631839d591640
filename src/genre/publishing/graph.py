"""A small writer of ONNX graphs: every call adds one node and gives the name of its output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, IR = 20, 10
"""Read by ONNX Runtime since 1.18."""
RUNTIMES = "com.microsoft"
"""Domain of the operators that ONNX Runtime adds to the standard."""


class Graph:
    """Nodes and constants, in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        """A tensor that is part of the file; float64 becomes float32."""
        array = np.asarray(value)
        array = np.ascontiguousarray(array, np.float32) if array.dtype == np.float64 else np.ascontiguousarray(array)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array.reshape(np.shape(value)), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, whose name is given back."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def add_many(self, op: str, *inputs: str, outputs: int) -> list[str]:
        """A node with several outputs."""
        names = [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names))
        return names

    def write(self, file: Path, given: tuple[str, list[str | int]], result: str, made: tuple[str, list[str | int]]) -> None:
        """Check the graph and write it: one float input, and one float output that is `result`; of each the name and shape."""
        self.nodes.append(helper.make_node("Identity", [result], [made[0]]))
        ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in (given, made)]
        graph = helper.make_graph(self.nodes, "genre", ends[:1], ends[1:], self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(RUNTIMES, 1)], ir_version=IR, producer_name="genre"
        )
        onnx.checker.check_model(model)
        file.write_bytes(model.SerializeToString())
