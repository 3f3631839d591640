"""Content: the cosine of an item's vector with the recency-weighted mean of the history's."""

# M new items, D dimensions

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from genre.bundle import mapped
from genre.serving.scorers import Leaf, Query, Reading, Scores
from genre.serving.scorers.dot import DotItems, DotReading
from genre.serving.scorers.recency import recency_L
from genre.vectors import unit


class ContentScorer(Leaf):
    """The served form of ContentRanker."""

    def __init__(self, config: Mapping[str, Any], items: DotItems) -> None:
        super().__init__(config)
        self.items = items

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        return cls(config, DotItems.load(mapped(folder / "state.safetensors")["vector_ND"], folder))

    def encoders(self) -> tuple[str, ...]:
        """See Scorer.encoders."""
        return tuple(self.config["content"])

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        profile_D = recency_L(query, self.config) @ self.items.rows.take(query.item_idx_L)
        return DotReading(self.items, unit(profile_D[None])[0], n)

    def extend(self, content_MD: Scores | None, m: int) -> None:
        """See Leaf.extend."""
        self.items.append(unit(np.zeros((m, self.items.rows.dim)) if content_MD is None else content_MD))

    def replace(self, item_idx: int, content_D: Scores) -> None:
        """See Scorer.replace."""
        self.items.rows.replace(item_idx, unit(content_D[None])[0])
