"""Dot products: one vector against every item's, exactly or by the coarse scan in four bits."""

# N items, K items asked for, D dimensions

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genre.serving.growing import Rows
from genre.serving.scorers import Reading, Scores
from genre.types import Bools, Floats, Ints

log = logging.getLogger(__name__)

SCAN = "scan.onnx"
INDEX, SETTINGS = "nearest.faiss", "nearest.json"
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

    def __init__(self, rows: Rows, scan: Any | None = None, index: Nearest | None = None) -> None:
        self.rows, self.scan, self.index = rows, scan, index
        self.moments = Moments(rows)

    @classmethod
    def load(cls, vector_ND: npt.NDArray[np.float32], folder: Path) -> DotItems:
        """With what the folder has of the coarse scan and the approximate index; the index needs faiss."""
        scan, index = None, None
        if (folder / SCAN).is_file():
            scan = session(folder / SCAN)
        if (folder / INDEX).is_file():
            if importlib.util.find_spec("faiss") is not None:
                index = Nearest(folder)
            else:
                log.warning("%s has an index, but faiss is not installed: pip install 'genre-rec[ann]'", folder)
        return cls(Rows(vector_ND), scan, index)

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
        """In four bits; items added or changed since the scan was written exactly."""
        rows, base = self.items.rows, len(self.items.rows.base_ND)
        if self.items.scan is None:
            return self.all()
        (score_1N,) = self.items.scan.run(None, {"vector": self.vector_D[None]})
        scores_N = score_1N[0]
        if rows.changed:
            changed = np.fromiter(rows.changed, np.int64)
            scores_N[changed] = self.at(changed)
        return scores_N if self.n <= base else np.concatenate([scores_N, rows.extra.first(self.n - base) @ self.vector_D])

    @property
    def indexed(self) -> bool:
        """See Reading.indexed."""
        return self.items.index is not None

    def nearest(self, k: int, allowed_N: Bools) -> Ints:
        """See Reading.nearest; items added or changed since the index was written are all among them."""
        if self.items.index is None:
            return super().nearest(k, allowed_N)
        rows, base = self.items.rows, len(self.items.rows.base_ND)
        found = self.items.index.search(self.vector_D, k, allowed_N[:base])
        late = np.concatenate([np.fromiter(rows.changed, np.int64), np.arange(base, self.n)])
        return np.union1d(found, late[allowed_N[late]]) if len(late) else found

    def spread(self) -> tuple[float, float]:
        """See Reading.spread; from the moments."""
        return self.items.moments.spread(self.vector_D)


class Nearest:
    """Inverted lists on disk, of which as many are looked into as the filter's selectivity asks for."""

    def __init__(self, folder: Path) -> None:
        self._faiss: Any = importlib.import_module("faiss")
        self._index = self._faiss.read_index(str(folder / INDEX), self._faiss.IO_FLAG_MMAP | self._faiss.IO_FLAG_READ_ONLY)
        # Else every search starts threads of its own that read the lists ahead; they are in memory after the first few.
        self._faiss.downcast_InvertedLists(self._faiss.extract_index_ivf(self._index).invlists).prefetch_nthread = 0
        settings = json.loads((folder / SETTINGS).read_text())
        self.probes, self.lists = settings["probes"], settings["lists"]

    def search(self, vector_D: Floats, k: int, allowed_N: Bools) -> Ints:
        """About the k best of the allowed items, best first.

        Where one item in ten passes, the best k that pass lie in ten times as many lists.
        """
        passing = np.count_nonzero(allowed_N)
        if passing == 0:
            return np.empty(0, np.int64)
        probes = min(self.lists, int(np.ceil(self.probes * len(allowed_N) / passing)))
        selector = None
        if passing < len(allowed_N):
            bits = np.packbits(allowed_N, bitorder="little")
            selector = self._faiss.IDSelectorBitmap(bits)
        found: Ints = self._index.search(vector_D[None], k, params=self._faiss.SearchParametersIVF(nprobe=probes, sel=selector))[1][0]
        return found[found >= 0]


def session(file: Path) -> Any:
    """An ONNX Runtime session that stays on the caller's thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
