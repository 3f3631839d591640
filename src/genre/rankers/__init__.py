"""Rankers: a score for every item of the catalogue, given what a user did."""

# B queries, N items, M new items, D content dimensions

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from genre.component import Component
from genre.types import Bools, Histories, Training


class Ranker(Component):
    """P(u, i) up to an increasing function of it: higher is better, comparable within one query only."""

    kind = "ranker"
    builtins: ClassVar[dict[str, str]] = {
        "popularity": "genre.rankers.popularity:PopularityRanker",
        "content": "genre.rankers.content:ContentRanker",
        "item_knn": "genre.rankers.item_knn:ItemKNNRanker",
        "transitions": "genre.rankers.transitions:TransitionsRanker",
        "ease": "genre.rankers.ease:EASERanker",
        "sequential": "genre.rankers.sequential:SequentialRanker",
        "repeats": "genre.rankers.repeats:RepeatsRanker",
        "blend": "genre.rankers.blend:BlendRanker",
        "deep": "genre.rankers.deep:DeepRanker",
        "llm_reranker": "genre.rankers.llm_reranker:LLMReranker",
    }

    begins: ClassVar[bool] = False
    """Whether fitting begins from `training.start` where there is one; what is learnt in seconds need not."""

    class Config(Component.Config):
        synthetic: bool = False
        """Whether histories begin with what the enrich stage imagined for users with few events, in training and when it is asked."""

        def encoders(self) -> tuple[str, ...]:
            """Names of the encoders whose vectors it reads."""
            return ()

        def members(self) -> tuple[str, ...]:
            """Names of the rankers it combines."""
            return ()

        def reads_impressions(self) -> bool:
            """Whether it learns from lists that were shown, where there are any."""
            return False

        def asked_in(self) -> str | None:
            """Name of the context that is what was asked for in words, if it reads that: given to it as `Histories.words_BD`."""
            return None

        def files(self) -> tuple[Path, ...]:
            """Files and folders it reads, so that it learns anew when they change."""
            return ()

    @abstractmethod
    def fit(self, training: Training, folder: Path) -> None:
        """Learn. `folder` is for checkpoints and TensorBoard: fitting again in the same folder goes on where it was killed."""

    def leaves(self) -> list[Ranker]:
        """The rankers that read content and are extended: itself, or those it combines."""
        return [self]

    def known(self) -> Bools | None:
        """Which of the N items it can tell anything about; None: all. To a ranker that knows only ids, an untouched item is unknown."""
        return None

    def context_names(self) -> tuple[str, ...]:
        """Names of the context that it reads, those of words among them."""
        return ()

    def chosen(self) -> dict[str, Any]:
        """Settings that validation decided while fitting (epochs, weights), for training on everything later; see `data.split.use=none`."""
        return {}

    @abstractmethod
    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """Scores of shape (B, N), finite for every item, also one that nobody touched; an empty history is a query like any other.

        Indices in the histories are below N; items of the history are scored as any other (masking is the caller's choice).
        """

    @abstractmethod
    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """M items joined the catalogue after training: from now on N is larger by M.

        A ranker that read content scores them by it; one that knows only ids gives them the score of an item nobody touched.
        `content_MD` is None where the ranker names no encoders.
        """
