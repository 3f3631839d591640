"""Hydrating and filtering: from a request to who asks and what may be shown."""

# N items

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genre.serving.columns import Mask
from genre.serving.contract import Asking, PastEvent, RecommendRequest
from genre.serving.past import past_of
from genre.serving.placement import Placement
from genre.serving.retrieval import Plans
from genre.serving.rules import boosting, excluding
from genre.serving.scorers import Reading
from genre.serving.scorers.combined import BesideText
from genre.serving.sources import Asked
from genre.serving.world import World
from genre.types import Floats, Ints, context_text


@dataclass(frozen=True)
class Barred:
    """What one filter leaves or takes.

    Attributes:
        passing_N: what passes; None where only a few items are taken.
        taken: those few.
    """

    name: str
    passing_N: Mask | None
    taken: Ints

    def among(self, item_idx_K: Ints) -> list[int]:
        """Those of some items that it takes."""
        if self.passing_N is None:
            few = set(self.taken.tolist())
            return [i for i in item_idx_K.tolist() if i in few]
        taken: list[int] = item_idx_K[~self.passing_N[item_idx_K]].tolist()
        return taken


def hydrated(world: World, request: Asking, history: Sequence[PastEvent], now: float, plans: Plans) -> Asked:
    """Who asks; everything that is in stock may be shown."""
    n = world.catalogue.n
    anchors = world.catalogue.find(request.anchors, n) if isinstance(request, RecommendRequest) else np.empty(0, np.int64)
    words_D = _words(world, request)
    past = past_of(request.user_id, history, anchors, world.snapshot, world.catalogue, n, now, told(request), words_D)
    asked = Asked(world, n, past, anchors, world.catalogue.available.first(n), plans)
    if isinstance(request, RecommendRequest) and request.text:
        asked.close = world.encodings.closeness(request.text, n)
    return asked


def told(request: Asking) -> dict[str, str]:
    """The context of a request as rankers know it, from the text columns of a log: the surface is one, too."""
    return {"surface": request.surface, **{name: context_text(value) for name, value in request.context.items()}}


def _words(world: World, request: Asking) -> Floats | None:
    """What is asked for in words, as the served ranker reads it: in the context, by the name it was learnt by, or as the request's text."""
    where = world.scorer.asked_in()
    if where is None:
        return None
    name, encoder = where
    said = request.context.get(name) or (request.text if isinstance(request, RecommendRequest) else None)
    return world.encodings.vector(str(said), encoder) if said else None


def barred(asked: Asked, placement: Placement, request: RecommendRequest, shown_before: Sequence[str]) -> list[Barred]:
    """Every filter by its name, in the order in which they are asked."""
    world, n, seen = asked.world, asked.n, asked.past.seen
    few: list[tuple[str, Ints]] = [
        ("history", seen.item_idx_L if not placement.repeats else np.empty(0, np.int64)),
        ("hidden", asked.past.hidden),
        ("anchors", asked.anchors),
        ("exclude", world.catalogue.find(request.exclude, n)),
        ("shown before", world.catalogue.find(shown_before, n)),
    ]
    many: list[tuple[str, Mask]] = [("available", asked.allowed_N)]
    if placement.settings.filter is not None:
        many.append(("surface", world.filters.mask(placement.settings.filter, seen, n, f"surfaces.{placement.name}.filter")))
    many += excluding(placement.settings.rules, world.filters, seen, n)
    if request.filter is not None:
        many.append(("filter", world.filters.mask(request.filter, seen, n)))
    none = np.empty(0, np.int64)
    return [Barred(name, mask, none) for name, mask in many] + [Barred(name, None, taken) for name, taken in few if len(taken)]


def restrict(asked: Asked, placement: Placement, filters: Sequence[Barred]) -> None:
    """Let only what passes every filter be shown, and look up what is boosted."""
    allowed_N = np.ones(asked.n, bool)
    for one in filters:
        if one.passing_N is not None:
            allowed_N &= one.passing_N
        else:
            allowed_N[one.taken] = False
    asked.allowed_N = allowed_N
    asked.boosted = boosting(placement.settings.rules, asked.world.filters, asked.past.seen, asked.n)


def read(asked: Asked) -> Reading:
    """The served ranker's view of the history; with a text, of that too."""
    if asked.close is not None and not len(asked.past.query.item_idx_L):
        return asked.close
    reading = asked.world.scorer.read(asked.past.query, asked.n)
    return reading if asked.close is None else BesideText(reading, asked.close, exact=asked.n <= asked.plans.exact_up_to)
