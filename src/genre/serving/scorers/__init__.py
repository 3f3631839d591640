"""Scorers: the rankers of a bundle, read from their saved files and asked for one history at a time, with numpy alone."""

# L events of a history, N items, M new items, K items asked for, D content dimensions

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.bundle import BundleError
from genre.index import top_k
from genre.types import Floats, Histories, Ints

Scores = npt.NDArray[np.float32]
BUILTINS = {
    "sequential": "genre.serving.scorers.sequential:SequentialScorer",
    "content": "genre.serving.scorers.content:ContentScorer",
    "transitions": "genre.serving.scorers.links:LinksScorer",
    "item_knn": "genre.serving.scorers.links:LinksScorer",
    "ease": "genre.serving.scorers.ease:EASEScorer",
    "popularity": "genre.serving.scorers.counts:PopularityScorer",
    "repeats": "genre.serving.scorers.counts:RepeatsScorer",
    "blend": "genre.serving.scorers.blend:BlendScorer",
    "deep": "genre.serving.scorers.deep:DeepScorer",
}


@dataclass(frozen=True)
class Query:
    """One history, oldest first, with the moment it is asked for, and what else is known of the request.

    Attributes:
        context: by name (device, surface).
        words_D: what is asked for in words, as the encoder reads it that the scorer names in `asked_in`; None where nothing.
    """

    item_idx_L: Ints
    time_L: Floats
    now: float
    context: Mapping[str, str] = field(default_factory=dict)
    words_D: Floats | None = None

    def history(self) -> Histories:
        """The same as rankers read it."""
        context = {name: [value] for name, value in self.context.items()}
        words_BD = None if self.words_D is None else self.words_D[None]
        offsets = np.array([0, len(self.item_idx_L)])
        return Histories(self.item_idx_L, self.time_L, offsets, np.array([self.now]), context=context, words_BD=words_BD)


class Reading(ABC):
    """What a scorer makes of one query: scores of the first `n` items, computed as far as they are asked for."""

    def __init__(self, n: int) -> None:
        self.n = n

    @abstractmethod
    def at(self, item_idx_K: Ints) -> Scores:
        """The scores of some items, shape (K,): those of the ranker it was published from."""

    @abstractmethod
    def all(self) -> Scores:
        """The same for every item, shape (N,)."""

    def coarse(self) -> Scores:
        """Every item's score, possibly rounded, for finding candidates whose exact scores are asked for after."""
        return self.all()

    @property
    def indexed(self) -> bool:
        """Whether `nearest` is faster than looking at every item."""
        return False

    def nearest(self, k: int, allowed_N: npt.NDArray[np.bool_]) -> Ints:
        """About the k best of the allowed items."""
        best: Ints = top_k(self.coarse()[None], k, ~allowed_N[None])[0][0]
        return best[best >= 0]

    def spread(self) -> tuple[float, float]:
        """Mean and standard deviation of `all`."""
        scores_N = self.all()
        return float(scores_N.mean()), float(scores_N.std())

    def parts(self) -> Iterator[Reading]:
        """The readings that this one is made of: itself, or those it combines."""
        yield self


class Scorer(ABC):
    """A published ranker. `config` is what `component.json` says."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """From a ranker's folder in a bundle."""

    @abstractmethod
    def read(self, query: Query, n: int) -> Reading:
        """One query, over the first n items."""

    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders whose vectors it reads."""
        return ()

    def known(self, n: int) -> npt.NDArray[np.bool_] | None:
        """Which of the first n items it can tell anything about, None for all; as Ranker.known."""
        return None

    def asked_in(self) -> tuple[str, str] | None:
        """Where it reads what is asked for in words: the name of the context, and that of the encoder. None where it does not."""
        return None

    def counts(self) -> frozenset[str]:
        """What it counts while it serves, of `features.TOUCHED` and `features.SHOWN`."""
        return frozenset()

    def observe(self, what: str, item_idx_K: Ints, when: float) -> None:
        """Items were touched, or shown; called once an event, of what it `counts`."""
        return

    @abstractmethod
    def leaves(self) -> Iterator[Leaf]:
        """The scorers that are extended: itself, or those it combines."""


class Leaf(Scorer):
    """A scorer that stands for itself, and learns of items that join the catalogue."""

    def leaves(self) -> Iterator[Leaf]:
        """Itself."""
        yield self

    @abstractmethod
    def extend(self, content_MD: Scores | None, m: int) -> None:
        """M items joined the catalogue; as Ranker.extend."""

    def replace(self, item_idx: int, content_D: Scores) -> None:
        """An item's content changed. What was learnt from clicks stays as it is, so that most scorers have nothing to do."""
        return


def load_scorer(folder: Path) -> Scorer:
    """A published ranker; one that is not built in is loaded as the ranker that it is.

    Raises:
        BundleError: the folder holds none.
    """
    file = folder / "component.json"
    if not file.is_file():
        raise BundleError(f"{folder} holds no ranker: component.json is missing")
    config = json.loads(file.read_text())
    home = BUILTINS.get(str(config["use"]).replace("-", "_"), "genre.serving.scorers.own:OwnScorer")
    module, _, name = home.partition(":")
    found: type[Scorer] = getattr(importlib.import_module(module), name)
    return found.load(folder, config)
