"""Interleaving: an experiment's two arms draft one list, and the log keeps which of them picked each item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from genre.experiments.interleaving import team_draft
from genre.serving.contract import (
    Answering,
    Item,
    PastEvent,
    RankedItem,
    RankRequest,
    RankResponse,
    RecommendRequest,
    RecommendResponse,
    Trace,
)
from genre.serving.cursor import read_cursor, write_cursor

V = TypeVar("V")
P = TypeVar("P", Item, RankedItem)
POLICY = "team_draft"
DRAFT = 1
"""Sets the draft's coin apart from the choices that a policy draws with the same request."""


@dataclass(frozen=True)
class Interleaving:
    """Asks both arms, control first, and drafts; each takes its own time, so a list takes that of both."""

    arms: Mapping[str, Answering]

    def recommend(
        self, request: RecommendRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0
    ) -> tuple[RecommendResponse, Trace]:
        """See contract.Answering.recommend."""
        first, second = (arm.recommend(request, history, now, waited) for arm in self.arms.values())
        trace = self._drafted(first[1], second[1], request.n)
        places = self._places((first[0].items, second[0].items), trace, "propensity")
        cursor = write_cursor([*read_cursor(request.cursor), *trace.item_ids]) if len(places) == request.n else None
        return first[0].model_copy(update={"items": places, "cursor": cursor, **told(trace, request.debug)}), trace

    def rank(self, request: RankRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0) -> tuple[RankResponse, Trace]:
        """See contract.Answering.rank."""
        first, second = (arm.rank(request, history, now, waited) for arm in self.arms.values())
        trace = self._drafted(first[1], second[1], len(request.items))
        places = self._places((first[0].items, second[0].items), trace, "probability")
        return first[0].model_copy(update={"items": places, **told(trace, request.debug)}), trace

    def _drafted(self, first: Trace, second: Trace, n: int) -> Trace:
        """One trace of two: what is of an arm has its name before it."""
        drawn = team_draft(first.item_ids, second.item_ids, n, np.random.default_rng([int(first.request_id[-16:], 16), DRAFT]))
        both, names = (first, second), list(self.arms)
        scores = [dict(zip(trace.item_ids, trace.scores, strict=True)) for trace in both]
        begin = min([*first.positions, *second.positions], default=1)
        return replace(
            first,
            model="+".join(dict.fromkeys(trace.model for trace in both)),
            policy=POLICY,
            item_ids=list(drawn.items),
            teams=[names[team] for team in drawn.teams],
            positions=list(range(begin, begin + len(drawn.items))),
            scores=[scores[team][item] for item, team in zip(drawn.items, drawn.teams, strict=True)],
            # How likely a place was depends on both lists and the coin: nobody has worked it out, so it is not claimed.
            propensities=[None] * len(drawn.items),
            noted=None,  # nor does a policy that learns take half a list for its own
            degraded={**first.degraded, **second.degraded},
            ms=dict(Counter(first.ms) + Counter({**second.ms, "wait": 0.0})),  # they waited together
            candidates=self._named(first.candidates, second.candidates),
            dropped=self._named(first.dropped, second.dropped),
            stage_scores=self._named(first.stage_scores, second.stage_scores),
            allowed=self._named(first.allowed, second.allowed),
            plan=", ".join(dict.fromkeys(trace.plan for trace in both if trace.plan)),
        )

    def _places(self, shown: Sequence[Sequence[P]], trace: Trace, chance: str) -> list[P]:
        """The drafted items as the arm that picked each told of them, but for the rank and the chance of it."""
        items = {arm: {item.item_id: item for item in part} for arm, part in zip(self.arms, shown, strict=True)}
        return [
            items[team][item_id].model_copy(update={"rank": rank, chance: None})
            for item_id, rank, team in zip(trace.item_ids, trace.positions, trace.teams or (), strict=True)
        ]

    def _named(self, *parts: Mapping[str, V]) -> dict[str, V]:
        return {f"{arm}: {name}": value for arm, part in zip(self.arms, parts, strict=True) for name, value in part.items()}


def told(trace: Trace, debug: bool) -> dict[str, Any]:
    """What an answer says of its making."""
    return {
        "request_id": trace.request_id, "model": trace.model, "policy": trace.policy, "degraded": bool(trace.degraded),
        "timings": trace.ms if debug else None,
    }  # fmt: skip
