"""Deep: the network over the best candidates of other scorers, with numpy alone."""

# N items, K items asked for, M sources

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt

from genre.bundle import mapped
from genre.rankers.candidates import shortlisted
from genre.rankers.deep_state import LATEST, below, mixture_of
from genre.rankers.features import Features
from genre.rankers.mixture import Mixture, placed
from genre.serving.scorers import Leaf, Query, Reading, Scorer, Scores, load_scorer
from genre.serving.scorers.content import ContentScorer
from genre.serving.scorers.tallies import Tallies
from genre.types import Ints


class DeepScorer(Scorer):
    """The served form of DeepRanker. Its counters go on counting while it serves."""

    def __init__(
        self, config: Mapping[str, Any], members: Mapping[str, Scorer], reader: ContentScorer | None, state: Mapping[str, npt.NDArray[Any]],
        latest: Mapping[str, npt.NDArray[Any]],
    ) -> None:  # fmt: skip
        super().__init__(config)
        self.members, self.reader = dict(members), reader
        sources = (*members, *(() if reader is None else ("content vectors",)))
        described, half_lives = below(state, "features."), config["half_life_days"]
        self.features = Features.restored(described, sources, lambda name: Tallies(below(latest, f"{name}."), half_lives))
        self.mixture: Mixture = mixture_of(state, config["tasks"], config["value"])
        self.repeats = bool(state["repeats"][0])

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """See Scorer.load."""
        members = {name: load_scorer(folder / "members" / name) for name in config["of"]}
        reader = load_scorer(folder / "content") if config["content"] else None
        assert reader is None or isinstance(reader, ContentScorer)
        return cls(config, members, reader, mapped(folder / "state.safetensors"), mapped(folder / LATEST))

    def encoders(self) -> tuple[str, ...]:
        """See Scorer.encoders."""
        return tuple(self.config["content"])

    def leaves(self) -> Iterator[Leaf]:
        """See Scorer.leaves."""
        for source in self._sources():
            yield from source.leaves()

    def asked_in(self) -> tuple[str, str] | None:
        """See Scorer.asked_in."""
        return None if self.config["words"] is None else (self.config["words"], self.config["content"][0])

    def counts(self) -> frozenset[str]:
        """See Scorer.counts."""
        return frozenset(self.features.counters)

    def observe(self, what: str, item_idx_K: Ints, when: float) -> None:
        """See Scorer.observe."""
        tallies = self.features.counters.get(what)
        if isinstance(tallies, Tallies):
            tallies.observe(item_idx_K, when)

    def read(self, query: Query, n: int) -> Reading:
        """See Scorer.read."""
        return DeepReading(self, query, [source.read(query, n) for source in self._sources()], n)

    def _sources(self) -> list[Scorer]:
        return [*self.members.values(), *(() if self.reader is None else (self.reader,))]


class DeepReading(Reading):
    """Values of the candidates, and below them the rest of the catalogue, worked out at once: ranks are among all items."""

    def __init__(self, scorer: DeepScorer, query: Query, readings: list[Reading], n: int) -> None:
        super().__init__(n)
        self.scorer, self.query, self.readings = scorer, query, readings

    @cached_property
    def _scores_N(self) -> Scores:
        scorer, history = self.scorer, self.query.history()
        score_M1N = [reading.all()[None] for reading in self.readings]
        item_E, offsets = shortlisted(score_M1N, history, scorer.config["shortlist"], scorer.repeats)
        vectors = None if scorer.reader is None else scorer.reader.items.rows.take
        rows_EF = scorer.features.of(history, score_M1N, item_E, offsets, vectors)
        found: Scores = placed(score_M1N, item_E, offsets, scorer.mixture.value(rows_EF))[0]
        return found

    def at(self, item_idx_K: Ints) -> Scores:
        """See Reading.at."""
        return self._scores_N[item_idx_K]

    def all(self) -> Scores:
        """See Reading.all."""
        return self._scores_N

    def parts(self) -> Iterator[Reading]:
        """See Reading.parts."""
        for reading in self.readings:
            yield from reading.parts()
