"""Content: items that say what the history says, by the cosine of their vectors (Rocchio's profile, 1971)."""

# B queries, N items, M new items, D content dimensions

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat

from genre.component import Arrays
from genre.rankers import Ranker
from genre.types import Histories, Training
from genre.vectors import unit


class ContentRanker(Ranker):
    """Cosine between an item's vector and the recency-weighted mean of the history's; needs no clicks on the item itself."""

    class Config(Ranker.Config):
        use: str = "content"
        content: tuple[str, ...] = Field(min_length=1)
        """Names of the encoders whose vectors are compared, side by side."""
        decay: Annotated[float, Field(gt=0, le=1)] = 0.8
        """Weight of each step of the history relative to the one after it."""
        sitting_seconds: NonNegativeFloat | None = 0.0
        """Events at most this far apart are one step (0: the same time stamp, a basket). None: each is a step."""

        def encoders(self) -> tuple[str, ...]:
            """See Ranker.Config.encoders."""
            return self.content

    config: Config

    def fit(self, training: Training, folder: Path) -> None:
        """Keep the vectors, each of length one.

        Raises:
            ValueError: the training has no content.
        """
        if training.content_ND is None:
            raise ValueError(f"content: no vectors of {', '.join(self.config.content)} were given; name encoders that the run has")
        self.vector_ND = unit(training.content_ND)

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """Cosines; all 0 for an empty history or one whose items say nothing, and for an item that says nothing."""
        from genre.rankers.neighbours import recency_BN

        profile_BD = recency_BN(queries, len(self.vector_ND), self.config.decay, self.config.sitting_seconds) @ self.vector_ND
        return unit(profile_BD) @ self.vector_ND.T

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """New items are compared by their content.

        Raises:
            ValueError: there are not m vectors of the right width.
        """
        if content_MD is None or content_MD.shape != (m, self.vector_ND.shape[1]):
            given = "none" if content_MD is None else f"shape {content_MD.shape}"
            raise ValueError(f"content: {m} new items need vectors of shape ({m}, {self.vector_ND.shape[1]}), got {given}")
        self.vector_ND = np.concatenate([self.vector_ND, unit(content_MD)])

    def state(self) -> Arrays:
        """The vectors."""
        return {"vector_ND": self.vector_ND}

    def restore(self, state: Arrays) -> None:
        """Take the vectors back."""
        self.vector_ND = state["vector_ND"]
