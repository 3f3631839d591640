"""The engine: from a request to a list, stage by stage, down a ladder that ends in a static list."""

# K candidates

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from genre.bundle import Bundle
from genre.rankers.features import SHOWN
from genre.serving.contract import (
    Asking,
    EventIn,
    ItemIn,
    PastEvent,
    RankRequest,
    RankResponse,
    RecommendRequest,
    RecommendResponse,
    Trace,
)  # fmt: skip
from genre.serving.cursor import read_cursor, write_cursor
from genre.serving.hydrating import Barred, barred, hydrated, restrict
from genre.serving.listing import ALWAYS, Listing
from genre.serving.placement import Placement, changed, chosen, placements_of
from genre.serving.ranking import ranked
from genre.serving.retrieval import Plans
from genre.serving.rules import Place
from genre.serving.sources import Asked
from genre.serving.stages import Stages
from genre.serving.world import World


class BundleEngine:
    """Answers from one bundle; the contract's Engine.

    Attributes:
        heads: see contract.Engine; an arm shares it with the engine that it was made of.
        failures: stages that failed or ran out of time since the start, by name.
        draw: twenty hexadecimal digits that every choice is drawn with; None takes others for every request.
    """

    def __init__(
        self, version: str, world: World, placements: Mapping[str, Placement], plans: Plans | None = None, content: str = ""
    ) -> None:
        self.version, self.world, self.placements, self.content = version, world, placements, content
        self.heads = {placement.head.name: placement.head for placement in placements.values() if placement.head is not None}
        self.plans = plans or Plans()
        self.draw: str | None = None
        self.failures: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(8, "genre-source")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See contract.Engine.load."""
        bundle = Bundle.open(folder)
        world = World.load(bundle)
        placements = placements_of(bundle.facts, folder, world.catalogue.index)
        engine = cls(bundle.version, world, placements, content=bundle.facts.get("space", ""))
        engine._warm_up()
        return engine

    def recommend(
        self, request: RecommendRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0
    ) -> tuple[RecommendResponse, Trace]:
        """See contract.Engine.recommend."""
        placement = chosen(self.placements, request.surface)
        before = read_cursor(request.cursor)
        stages = Stages(placement.settings.deadline_ms, self.failures, waited)
        trace = self._trace(request, placement, now)
        ready = stages.run("hydrate", lambda: hydrated(self.world, request, history, now, self.plans), lambda: None, ALWAYS)
        filters = None if ready is None else self._filtered(ready, placement, request, before, stages)
        scores: dict[int, float] = {}
        reasons: Sequence[list[str] | None]
        if ready is None or filters is None:
            places = self._static(placement, request, before)
            trace.plan, reasons = "static", [None] * len(places)
        else:
            listing = Listing(ready, placement, request, before, stages, self._pool)
            places = listing.places(rng_of(trace.request_id))
            trace.noted = placement.noted(listing.slate, [place.item_idx for place in places])
            reasons = listing.reasons(places)
            scores = dict(zip(listing.item_idx_K.tolist(), listing.scores_K.tolist(), strict=True))
            stages.run("describe", lambda: listing.describe(trace, filters), lambda: None, share=float("inf"))
        ids = self.world.catalogue.ids
        trace.item_ids = [ids[place.item_idx] for place in places]
        trace.positions = list(range(len(before) + 1, len(before) + 1 + len(places)))
        trace.scores = [scores.get(place.item_idx, 0.0) for place in places]
        trace.propensities = [place.propensity for place in places]
        finish(trace, stages)
        columns = (trace.item_ids, trace.positions, trace.scores, trace.propensities, reasons)
        items = [{"item_id": i, "rank": r, "score": s, "propensity": p, "reasons": w} for i, r, s, p, w in zip(*columns, strict=True)]
        # Checked as a whole, which is faster than making each item by itself.
        response = RecommendResponse.model_validate(
            {
                "request_id": trace.request_id, "items": items, "degraded": bool(trace.degraded), "model": self.version,
                "policy": trace.policy, "variant": trace.variant, "timings": trace.ms if request.debug else None,
                "cursor": write_cursor([*before, *trace.item_ids]) if len(items) == request.n else None,
            }
        )  # fmt: skip
        return response, trace

    def rank(self, request: RankRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0) -> tuple[RankResponse, Trace]:
        """See contract.Engine.rank."""
        placement = chosen(self.placements, request.surface)
        stages = Stages(placement.settings.deadline_ms, self.failures, waited)
        trace = self._trace(request, placement, now)
        ready = stages.run("hydrate", lambda: hydrated(self.world, request, history, now, self.plans), lambda: None, ALWAYS)
        items, slate = ranked(self.world, ready, request.items, placement, stages, rng_of(trace.request_id))
        trace.noted = placement.noted(slate, slate.item_idx.tolist())
        trace.item_ids, trace.positions = [item.item_id for item in items], [item.rank for item in items]
        trace.scores, trace.propensities = [item.score for item in items], [item.probability for item in items]
        finish(trace, stages)
        response = RankResponse.model_construct(
            request_id=trace.request_id, items=items, degraded=bool(trace.degraded), model=self.version, policy=trace.policy,
            variant=trace.variant, timings=trace.ms if request.debug else None,
        )  # fmt: skip
        return response, trace

    def drawing(self, draw: str) -> Self:
        """The same engine, with every choice drawn alike: what differs between two of its lists is then no chance."""
        other = copy(self)
        other.draw = draw
        return other

    def varied(self, surface: str, changes: Mapping[str, Any]) -> Self:
        """See contract.Engine.varied."""
        arm = copy(self)
        placement = changed(chosen(self.placements, surface), changes, self.content, self.world.catalogue.index)
        if placement.head is not None:
            # The same policy in two arms, or in an experiment that is arranged anew, is one that learns from both.
            head = self.heads.setdefault(placement.head.name, placement.head)
            placement = replace(placement, head=head, policy=head.policy)
        arm.placements = {**self.placements, surface: placement}
        return arm

    def observe(self, event: EventIn, now: float) -> None:
        """See contract.Engine.observe."""
        self.world.observe(event, now)

    @property
    def counts_shown(self) -> bool:
        """See contract.Engine.counts_shown."""
        return SHOWN in self.world.scorer.counts()

    def showed(self, item_ids: Sequence[str], when: float) -> None:
        """See contract.Engine.showed."""
        self.world.showed(item_ids, when)

    def upsert_item(self, item: ItemIn) -> None:
        """See contract.Engine.upsert_item."""
        self.world.put(item, time.time())

    def delete_item(self, item_id: str) -> bool:
        """See contract.Engine.delete_item."""
        return self.world.delete(item_id)

    def item(self, item_id: str) -> ItemIn | None:
        """See contract.Engine.item."""
        return self.world.catalogue.get(item_id)

    def _trace(self, request: Asking, placement: Placement, now: float) -> Trace:
        session = f"session:{request.session_id}" if request.session_id is not None else "anonymous"
        unit = f"user:{request.user_id}" if request.user_id is not None else session
        # Begins with the time, so that a database that sorts by it writes at the end of its index.
        request_id = f"{int(now * 1000) & 0xFFFFFFFFFFFF:012x}{self.draw or secrets.token_hex(10)}"
        return Trace(request_id, now, request.surface, unit, self.version, placement.policy.config.use, None, request.context)

    def _filtered(
        self, asked: Asked, placement: Placement, request: RecommendRequest, before: Sequence[str], stages: Stages
    ) -> list[Barred] | None:
        """The filters, applied; None if one fails: what it would have held back must not be shown by accident."""

        def work() -> list[Barred]:
            filters = barred(asked, placement, request, before)
            restrict(asked, placement, filters)
            return filters

        return stages.run("filter", work, lambda: None, ALWAYS)

    def _static(self, placement: Placement, request: RecommendRequest, before: Sequence[str]) -> list[Place]:
        """The last rung: a fixed list, or the most popular items, of what is in stock and was not excluded by its id."""
        catalogue = self.world.catalogue
        banned = {*request.exclude, *request.anchors, *before}
        if placement.settings.fallback:
            wanted = catalogue.find(placement.settings.fallback, catalogue.n)
        else:
            wanted = self.world.popular.best(catalogue.available.first(catalogue.n), request.n + len(banned))
        fine = (i for i in wanted.tolist() if catalogue.available[i] and catalogue.ids[i] not in banned)
        return [Place(i, None, "static") for i in fine][: request.n]

    def _warm_up(self) -> None:
        """First requests are slow: load what is loaded late, touch what is mapped."""
        some = [PastEvent(item_id, 0.0) for item_id in self.world.catalogue.ids[:3]]
        for name in self.placements:
            for history in ((), some):
                self.recommend(RecommendRequest(surface=name, n=10), history, time.time())
        self.failures.clear()


def finish(trace: Trace, stages: Stages) -> None:
    """Write down how it went."""
    trace.degraded = stages.failed
    trace.ms = {**stages.ms, "total": round(stages.seconds * 1000, 3)}


def rng_of(request_id: str) -> np.random.Generator:
    """Seeded by the request, so that a logged choice can be made again."""
    return np.random.default_rng(int(request_id[-16:], 16))
