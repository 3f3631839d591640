"""An engine of forty lines for the tests of everything around engines: the most seen items, without those of the history."""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from genre.bundle import Bundle, seal
from genre.serving.contract import (
    EventIn,
    Item,
    ItemIn,
    PastEvent,
    RankedItem,
    RankRequest,
    RankResponse,
    RecommendRequest,
    RecommendResponse,
    RequestError,
    Trace,
)
from genre.serving.head import Head
from genre.serving.store.events import unit_of

ITEMS = [f"i{at}" for at in range(20)]


def small_bundle(run: Path, version: str, items: Sequence[str] = ITEMS) -> Path:
    """A sealed bundle in a run's `models` folder."""
    folder = run / "models" / version
    folder.mkdir(parents=True)
    (folder / "items.json").write_text(json.dumps(list(items)))
    seal(folder, {"ranker": "small"})
    return folder


class SmallEngine:
    """Satisfies the contract."""

    def __init__(self, version: str, items: Sequence[str]) -> None:
        self.version = version
        self.items = {item: ItemIn(item_id=item, attributes={"title": item.upper()}) for item in items}
        self.seen: Counter[str] = Counter()
        self.heads: dict[str, Head] = {}
        self.most = 500
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path) -> Self:
        bundle = Bundle.open(folder)
        return cls(bundle.version, json.loads(bundle.path("items.json").read_text()))

    def recommend(
        self, request: RecommendRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0
    ) -> tuple[RecommendResponse, Trace]:
        trace = self._trace(request.surface, request.user_id, request.session_id, now)
        trace.context = request.context
        seen = {event.item_id for event in history}
        with self._lock:
            order = sorted((item for item in self.items.values() if item.available), key=lambda item: -self.seen[item.item_id])
        trace.candidates = {"popular": [item.item_id for item in order]}
        trace.dropped = {"seen": [item for item in trace.candidates["popular"] if item in seen]}
        trace.item_ids = [item.item_id for item in order if item.item_id not in {*seen, *request.exclude}][: min(request.n, self.most)]
        trace.positions = list(range(1, len(trace.item_ids) + 1))
        trace.scores = [float(self.seen[item]) for item in trace.item_ids]
        trace.propensities = [1.0] * len(trace.item_ids)
        shown = [
            Item(item_id=item, rank=at, score=score, propensity=1.0)
            for item, at, score in zip(trace.item_ids, trace.positions, trace.scores, strict=True)
        ]
        return RecommendResponse(request_id=trace.request_id, items=shown, model=self.version, policy="greedy"), trace

    def rank(self, request: RankRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0) -> tuple[RankResponse, Trace]:
        trace = self._trace(request.surface, request.user_id, request.session_id, now)
        trace.item_ids = sorted(request.items, key=lambda item: -self.seen[item])
        trace.positions = list(range(1, len(trace.item_ids) + 1))
        trace.scores, trace.propensities = [0.0] * len(trace.item_ids), [1.0] * len(trace.item_ids)
        ranked = [RankedItem(item_id=item, rank=at, score=0, probability=1) for at, item in enumerate(trace.item_ids, 1)]
        return RankResponse(request_id=trace.request_id, items=ranked, model=self.version, policy="greedy"), trace

    def varied(self, surface: str, changes: Mapping[str, Any]) -> Self:
        self._known(surface)
        if others := sorted(set(changes) - {"candidates"}):
            raise RequestError(others[0], "this engine can change its candidates alone")
        arm = copy.copy(self)
        arm.most = changes.get("candidates", self.most)
        return arm

    def observe(self, event: EventIn, now: float) -> None:
        if event.item_id is not None:
            with self._lock:
                self.seen[event.item_id] += 1

    counts_shown = False

    def showed(self, item_ids: Sequence[str], when: float) -> None:
        raise NotImplementedError

    def upsert_item(self, item: ItemIn) -> None:
        if isinstance(item.attributes.get("price", 0), str):
            raise RequestError("attributes.price", "is a number")
        with self._lock:
            self.items[item.item_id] = item

    def delete_item(self, item_id: str) -> bool:
        with self._lock:
            return self.items.pop(item_id, None) is not None

    def item(self, item_id: str) -> ItemIn | None:
        return self.items.get(item_id)

    def _trace(self, surface: str, user_id: str | None, session_id: str | None, now: float) -> Trace:
        self._known(surface)
        return Trace(uuid.uuid4().hex, now, surface, unit_of(user_id, session_id), self.version, "greedy", ms={"total": 0.1})

    def _known(self, surface: str) -> None:
        if surface not in ("default", "home"):
            raise RequestError("surface", f"there is no surface {surface!r}; there is default, home")
