"""Sources: where candidates come from. Each names its best allowed items; the served ranker then compares them all."""

# N items, K candidates

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from genre.index import top_k
from genre.serving.columns import Mask
from genre.serving.past import Past
from genre.serving.retrieval import Found, Plans, retrieve
from genre.serving.scorers import Query, Reading, Scores
from genre.serving.scorers.combined import BesideText
from genre.serving.scorers.links import LinksReading
from genre.serving.world import World
from genre.types import Floats, Ints


@dataclass
class Asked:
    """A request on its way: who asks, what may be shown, and what has been worked out so far.

    Attributes:
        n: size of the catalogue when the request came in; all masks and scores have this length.
        allowed_N: what may be shown.
        close: how close each item is to the request's text; None without one.
        reading: the served ranker's view of the history; None if it failed.
        found: what the search of the whole catalogue gave.
    """

    world: World
    n: int
    past: Past
    anchors: Ints
    allowed_N: Mask
    plans: Plans
    close: Reading | None = None
    reading: Reading | None = None
    found: Found | None = None
    boosted: list[tuple[str, Mask, float]] = field(default_factory=list)


class Source(ABC):
    """Names candidates. Your own is `module:Class` in a surface's `sources`, made without arguments."""

    waits: ClassVar[bool] = False
    """True for one that waits for something outside this process: it runs beside the others and is left behind at the deadline."""

    @abstractmethod
    def find(self, asked: Asked, k: int) -> Ints:
        """At most k or so of the allowed items, best first."""


class ModelSource(Source):
    """Searches the whole catalogue with the served ranker."""

    def find(self, asked: Asked, k: int) -> Ints:
        """See Source.find."""
        if asked.reading is None:
            return np.empty(0, np.int64)
        asked.found = retrieve(asked.reading, asked.allowed_N, k, asked.plans)
        return asked.found.item_idx_K


class TransitionsSource(Source):
    """What followed the items of the history."""

    def find(self, asked: Asked, k: int) -> Ints:
        """See Source.find."""
        links = asked.world.links
        if links is None or not len(asked.past.query.item_idx_L):
            return np.empty(0, np.int64)
        parts = [] if asked.reading is None else asked.reading.parts()
        reading = next((part for part in parts if isinstance(part, LinksReading)), None) or links.read(asked.past.query, asked.n)
        return reading.nearest(k, asked.allowed_N)


class SimilarSource(Source):
    """What goes with the anchors: followed them, or says the same."""

    def find(self, asked: Asked, k: int) -> Ints:
        """See Source.find."""
        world, anchors = asked.world, asked.anchors
        if not len(anchors):
            return np.empty(0, np.int64)
        found = []
        if world.links is not None:
            followed = LinksReading(world.links.linked(anchors, np.ones(len(anchors)), asked.n), world.links.floor, asked.n)
            found.append(followed.nearest(k // 2, asked.allowed_N))
        if world.alike is not None:
            close = world.alike.read(Query(anchors, np.full(len(anchors), np.nan), asked.past.query.now), asked.n)
            found.append(closest(close, asked.allowed_N, k // 2))
        elif world.encodings.vectors is not None:
            profile_D = world.encodings.vectors.take(anchors).mean(axis=0)
            found.append(positive_best(world.encodings.vectors.dot(profile_D, asked.n), asked.allowed_N, k // 2))
        return merged(found)


class TextSource(Source):
    """What is close to the request's words."""

    def find(self, asked: Asked, k: int) -> Ints:
        """See Source.find."""
        if asked.close is None:
            return np.empty(0, np.int64)
        close_N = asked.reading.whole[1] if isinstance(asked.reading, BesideText) else asked.close.coarse()
        return positive_best(close_N, asked.allowed_N, k)


class TrendingSource(Source):
    """What is touched most now."""

    def find(self, asked: Asked, k: int) -> Ints:
        """See Source.find."""
        return asked.world.trends.standing.best(asked.allowed_N, k)


class FreshSource(Source):
    """What came last: added to the catalogue, or first touched."""

    def find(self, asked: Asked, k: int) -> Ints:
        """See Source.find."""
        return asked.world.fresh.best(asked.allowed_N, k)


BUILTINS: dict[str, type[Source]] = {
    "model": ModelSource, "transitions": TransitionsSource, "similar": SimilarSource, "text": TextSource, "trending": TrendingSource,
    "fresh": FreshSource,
}  # fmt: skip


def load_source(name: str) -> Source:
    """A built-in by its short name, or `module:Class`.

    Raises:
        ValueError: there is no such class, or it is no Source.
    """
    if name in BUILTINS:
        return BUILTINS[name]()
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise ValueError(f"{name!r} is not a source: it must subclass genre.serving.sources.Source")
    return found()


def closest(reading: Reading, allowed_N: Mask, k: int) -> Ints:
    """The same of a reading, by its index where it has one."""
    if not reading.indexed:
        return positive_best(reading.coarse(), allowed_N, k)
    item_idx_K = reading.nearest(k, allowed_N)
    scores_K = reading.at(item_idx_K)
    return item_idx_K[np.argsort(-scores_K, kind="stable")][: min(k, int((scores_K > 0).sum()))]


def positive_best(scores_N: Scores | Floats, allowed_N: Mask, k: int) -> Ints:
    """The k best allowed items whose score is above 0."""
    best = top_k(scores_N[None], k, ~allowed_N[None])[0][0]
    found: Ints = best[(best >= 0) & (scores_N[best] > 0)]
    return found


def merged(found: list[Ints]) -> Ints:
    """All items of several lists, each once, in turn: the best of each first."""
    if len(found) == 1:
        return found[0]
    order = np.concatenate([np.arange(len(part)) for part in found]) if found else np.empty(0, np.int64)
    item_idx: Ints = np.concatenate(found)[np.argsort(order, kind="stable")] if found else np.empty(0, np.int64)
    _, first = np.unique(item_idx, return_index=True)
    return item_idx[np.sort(first)]
