"""The world of an engine: everything a bundle knows, kept in step as items and events arrive."""

# N items

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genre.bundle import Bundle, mapped
from genre.rankers.features import SHOWN, TOUCHED
from genre.serving.catalogue import Catalogue
from genre.serving.contract import NEGATIVE, SILENT, EventIn, ItemIn
from genre.serving.encoding import Encodings
from genre.serving.filters import Filters
from genre.serving.past import Snapshot
from genre.serving.scorers import Scorer, load_scorer
from genre.serving.scorers.content import ContentScorer
from genre.serving.scorers.links import LinksScorer
from genre.serving.trends import Standing, Trends
from genre.types import Floats, Ints


@dataclass
class World:
    """One bundle in memory. Readers take `catalogue.n` first and look at nothing beyond it; writers take turns.

    Attributes:
        scorer: the served ranker.
        links: leads from an item to others: a part of the served ranker, or another of the run's; None if there is none.
        fresh: items by when they came.
        popular: items by all that was ever done with them, most first: what is shown when all else fails.
    """

    catalogue: Catalogue
    scorer: Scorer
    links: LinksScorer | None
    encodings: Encodings
    snapshot: Snapshot
    trends: Trends
    fresh: Standing
    popular: Standing
    filters: Filters = field(init=False)

    def __post_init__(self) -> None:
        self.filters = Filters(self.catalogue)
        self._turn = threading.Lock()
        self._extended = {id(scorer): scorer for scorer in self.scorer.leaves()}
        if self.links is not None:
            self._extended[id(self.links)] = self.links
        self.alike = next((leaf for leaf in self.scorer.leaves() if isinstance(leaf, ContentScorer)), None)

    @classmethod
    def load(cls, bundle: Bundle) -> World:
        """From a verified bundle."""
        folder, facts = bundle.folder, bundle.facts
        catalogue, trends = Catalogue.load(folder), Trends.load(folder)
        scorer = load_scorer(folder / "ranker")
        return cls(
            catalogue, scorer, _links(scorer, folder, facts["links"]), Encodings.load(folder, facts), Snapshot.load(folder), trends,
            Standing(catalogue.since.first(catalogue.n)), popular_of(folder),
        )  # fmt: skip

    def observe(self, event: EventIn, now: float) -> None:
        """Count an event in the trends, and where the ranker counts."""
        i = self.catalogue.index.get(event.item_id or "")
        if i is not None and event.type not in SILENT:
            when = now if event.time is None else event.time
            with self._turn:
                self.trends.observe(i, when, now)
            if TOUCHED in self.scorer.counts() and event.type not in NEGATIVE:
                self.scorer.observe(TOUCHED, np.array([i]), min(when, now))

    def showed(self, item_ids: Sequence[str], when: float) -> None:
        """Count a list that was shown, where the ranker counts such."""
        self.scorer.observe(SHOWN, np.array([i for i in map(self.catalogue.index.get, item_ids) if i is not None], np.int64), when)

    def put(self, item: ItemIn, now: float) -> None:
        """Add or replace an item; from then on it is found by its text.

        Raises:
            RequestError: an attribute of the wrong type.
        """
        with self._turn:
            self.catalogue.check(item.attributes)
            frame = self.encodings.frame(item.item_id, item.attributes)
            vectors = self.encodings.encode(frame)
            i, new = self.catalogue.put(item, frame["shown"][0], now)
            for scorer in self._extended.values():
                read = [vectors[name] for name in scorer.encoders()]
                content = np.concatenate(read, axis=1) if read else None
                if new:
                    scorer.extend(content, 1)
                elif content is not None and content.any():
                    scorer.replace(i, content[0])
            if new:
                self.encodings.append(vectors)
                self.trends.append()
                for standing, value in ((self.fresh, now), (self.popular, 0.0)):
                    standing.values.append(np.array([value]))
                    standing.touched += 1
                self.catalogue.publish(item.item_id, i)
            else:
                self.encodings.replace(i, vectors)

    def vectors(self, item_idx_K: Ints) -> Floats | None:
        """What policies compare items by, shape (K, D); zero for an item that is not in the catalogue. None without encoders."""
        rows = self.encodings.vectors
        if rows is None:
            return None
        known_K = item_idx_K < rows.n
        return rows.take(item_idx_K) if known_K.all() else rows.take(np.where(known_K, item_idx_K, 0)) * known_K[:, None]

    def delete(self, item_id: str) -> bool:
        """Never show it again; False if it is not there."""
        with self._turn:
            return self.catalogue.delete(item_id)


def popular_of(folder: Path) -> Standing:
    """By all interactions of the training data."""
    return Standing(mapped(folder / "counts.safetensors")["count_N"].astype(np.float64))


def _links(scorer: Scorer, folder: Path, where: str | None) -> LinksScorer | None:
    """The one in the served ranker, so that it is held and extended once; else the one beside it."""
    inside = next((leaf for leaf in scorer.leaves() if isinstance(leaf, LinksScorer)), None)
    if inside is not None or where is None:
        return inside
    beside = load_scorer(folder / where)
    return beside if isinstance(beside, LinksScorer) else None
