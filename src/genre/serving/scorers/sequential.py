"""Sequential: the ONNX user tower reads the history, and its vector is multiplied with every item's."""

# L events of a history, N items, M new items, K items asked for, D embedding, F content dimensions

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.bundle import BundleError, mapped
from genre.serving.growing import Growing
from genre.serving.scorers import Leaf, Query, Reading, Scores
from genre.serving.scorers.dot import DotItems, DotReading, session
from genre.types import Floats, Ints

TOWER = "tower.onnx"


class SequentialScorer(Leaf):
    """The served form of SequentialRanker."""

    def __init__(self, config: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]], items: DotItems, tower: Any) -> None:
        super().__init__(config)
        self.items, self.tower = items, tower
        self.touched = Growing(state["known_N"].astype(bool))
        self.all_known = bool(state["known_N"].all())
        self.unknown_D = np.array(state["tower.unknown_D"])
        self.places = len(state["tower.position_LD"])
        names = ("project.0.weight", "project.0.bias", "project.2.weight", "project.2.bias")
        self.project = tuple(np.array(state[name]) for name in names) if names[0] in state else None

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        if not (folder / TOWER).is_file():
            raise BundleError(f"{folder}: {TOWER} is missing; publish the run again")
        state = mapped(folder / "state.safetensors")
        return cls(config, state, DotItems.load(state["items_ND"], folder), session(folder / TOWER))

    def encoders(self) -> tuple[str, ...]:
        """See Scorer.encoders."""
        return tuple(self.config["content"])

    def known(self, n: int) -> npt.NDArray[np.bool_] | None:
        """See Scorer.known: all where content speaks for an item; else those that somebody touched."""
        return None if self.all_known else self.touched.first(n)

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read. An empty history is read as one unknown entry."""
        item_idx_L = query.item_idx_L[-self.places :]
        vector_LD = self.items.rows.take(item_idx_L) if len(item_idx_L) else self.unknown_D[None]
        if not self.all_known and len(item_idx_L):
            vector_LD = np.where(self.touched.first(n)[item_idx_L][:, None], vector_LD, self.unknown_D)
        (user_D,) = self.tower.run(None, {"history": vector_LD})
        reading = DotReading(self.items, user_D, n)
        return reading if self.all_known else KnownFirst(reading, self.touched.first(n))

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend: by the trained projection of content, or as items that nobody knows."""
        known = self.project is not None and content_MD is not None
        rows_MD = np.zeros((m, self.items.rows.dim), np.float32)
        if self.project is not None and content_MD is not None:
            rows_MD = projected(content_MD, *self.project)
        self.touched.append(np.full(m, known))
        self.all_known = self.all_known and known
        self.items.append(rows_MD)

    def replace(self, item_idx: int, content_D: Scores) -> None:
        """An item added since; a trained one keeps what was learnt."""
        if self.project is not None and item_idx >= len(self.items.rows.base_ND):
            self.items.rows.replace(item_idx, projected(content_D[None], *self.project)[0])


class KnownFirst(Reading):
    """Items that nobody knows come below all others: one below the lowest."""

    def __init__(self, inner: DotReading, known_N: npt.NDArray[np.bool_]) -> None:
        super().__init__(inner.n)
        self.inner, self.known_N = inner, known_N
        self._lowest: float | None = None

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        scores_K, known_K = self.inner.at(item_idx_K), self.known_N[item_idx_K]
        return scores_K if known_K.all() else np.where(known_K, scores_K, np.float32(self.lowest() - 1))

    def all(self) -> Scores:
        """See Reading.all."""
        scores_N = self.inner.all()
        self._lowest = self._lowest_of(scores_N)
        return np.where(self.known_N, scores_N, np.float32(self._lowest - 1))

    def coarse(self) -> Scores:
        """See Reading.coarse."""
        scores_N = self.inner.coarse()
        return np.where(self.known_N, scores_N, np.float32(self._lowest_of(scores_N) - 1))

    @property
    def indexed(self) -> bool:
        """See Reading.indexed."""
        return self.inner.indexed

    def nearest(self, k: int, allowed_N: npt.NDArray[np.bool_]) -> Ints:
        """See Reading.nearest; those that are known."""
        return self.inner.nearest(k, allowed_N & self.known_N)

    def lowest(self) -> float:
        """The lowest score of an item that is known."""
        if self._lowest is None:
            self._lowest = self._lowest_of(self.inner.all())
        return self._lowest

    def _lowest_of(self, scores_N: Scores) -> float:
        known = scores_N[self.known_N]
        return float(known.min()) if len(known) else float(scores_N[0]) if len(scores_N) else 0.0


def projected(
    content_MF: Floats, in_weight_XF: Floats, in_bias_X: Floats, out_weight_DX: Floats, out_bias_D: Floats
) -> npt.NDArray[np.float32]:
    """Content to item vectors: linear, GELU (Hendrycks and Gimpel, 2016), linear, as `transformer.projection` trained it."""
    wide_MX = content_MF @ in_weight_XF.T + in_bias_X
    erf = np.array([math.erf(x) for x in (wide_MX / math.sqrt(2)).ravel().tolist()]).reshape(wide_MX.shape)
    vector_MD: npt.NDArray[np.float32] = ((wide_MX * 0.5 * (1 + erf)) @ out_weight_DX.T + out_bias_D).astype(np.float32)
    return vector_MD
