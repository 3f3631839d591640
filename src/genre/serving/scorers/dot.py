"""Dot products: one vector against every item's, exactly or by the coarse scan in eight bits."""

# N items, K items asked for, D dimensions

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genre.serving.growing import Rows
from genre.serving.scorers import Reading, Scores
from genre.types import Floats, Ints

SCAN = "scan.onnx"
CHUNK = 65_536


class Moments:
    """Mean and covariance of the item vectors: from them the mean and spread of any dot product, without computing the products."""

    def __init__(self, rows: Rows) -> None:
        self.count = len(rows.base_ND)
        self.sum_D = np.zeros(rows.dim)
        self.sum_DD = np.zeros((rows.dim, rows.dim))
        for start in range(0, self.count, CHUNK):
            chunk = np.asarray(rows.base_ND[start : start + CHUNK])
            self.sum_D += chunk.sum(axis=0, dtype=np.float64)
            self.sum_DD += chunk.T @ chunk

    def add(self, vector_MD: Floats) -> None:
        """Vectors of new items."""
        self.count += len(vector_MD)
        self.sum_D = self.sum_D + vector_MD.sum(axis=0, dtype=np.float64)
        self.sum_DD = self.sum_DD + vector_MD.T @ vector_MD

    def spread(self, vector_D: Floats) -> tuple[float, float]:
        """Mean and standard deviation of the dot products with every item."""
        mean = float(self.sum_D @ vector_D) / max(self.count, 1)
        square = float(vector_D @ self.sum_DD @ vector_D) / max(self.count, 1)
        return mean, float(np.sqrt(max(square - mean**2, 0.0)))


class DotItems:
    """The items' side: vectors, and how they are searched."""

    def __init__(self, rows: Rows, scan: Any | None) -> None:
        self.rows, self.scan = rows, scan
        self.moments = Moments(rows)

    @classmethod
    def load(cls, vector_ND: npt.NDArray[np.float32], folder: Path) -> DotItems:
        """With the coarse scan, if the folder has one."""
        file = folder / SCAN
        return cls(Rows(vector_ND), session(file) if file.is_file() else None)

    def append(self, vector_MD: npt.NDArray[np.float32]) -> None:
        """Vectors of new items."""
        self.rows.append(vector_MD)
        self.moments.add(vector_MD)


class DotReading(Reading):
    """A query as one vector."""

    def __init__(self, items: DotItems, vector_D: npt.NDArray[np.float32], n: int) -> None:
        super().__init__(n)
        self.items, self.vector_D = items, vector_D

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        return np.asarray(self.items.rows.take(item_idx_K) @ self.vector_D, np.float32)

    def all(self) -> Scores:
        """See Reading.all."""
        return self.items.rows.dot(self.vector_D, self.n)

    def coarse(self) -> Scores:
        """In eight bits; items added or changed since the scan was written exactly."""
        rows, base = self.items.rows, len(self.items.rows.base_ND)
        if self.items.scan is None:
            return self.all()
        (score_1N,) = self.items.scan.run(None, {"vector": self.vector_D[None]})
        scores_N = score_1N[0]
        if rows.changed:
            changed = np.fromiter(rows.changed, np.int64)
            scores_N[changed] = self.at(changed)
        return scores_N if self.n <= base else np.concatenate([scores_N, rows.extra.first(self.n - base) @ self.vector_D])

    def spread(self) -> tuple[float, float]:
        """See Reading.spread; from the moments."""
        return self.items.moments.spread(self.vector_D)


def session(file: Path) -> Any:
    """An ONNX Runtime session that stays on the caller's thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
