"""Ranking: the order of a list that the caller brings, with the probability of every choice."""

# K items of the caller's

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genre.serving.candidates import candidates_of
from genre.serving.contract import RankedItem
from genre.serving.hydrating import read
from genre.serving.placement import Placement
from genre.serving.sources import Asked
from genre.serving.stages import Stages
from genre.serving.world import World
from genre.types import Floats, Slate


def ranked(
    world: World, asked: Asked | None, item_ids: Sequence[str], placement: Placement, stages: Stages, rng: np.random.Generator
) -> tuple[list[RankedItem], Slate]:
    """Each id once, best first, and the policy's choice, in the same order.

    An item that nobody knows stands one standard deviation below the lowest that is known.
    """
    ids = list(dict.fromkeys(item_ids))
    n = world.catalogue.n if asked is None else asked.n
    item_idx_K = np.array([world.catalogue.index.get(item_id, n) for item_id in ids])
    known_K = item_idx_K < n

    def score() -> Floats:
        if asked is None:
            return in_given_order()
        known = read(asked).at(item_idx_K[known_K])
        scores_K = np.full(len(ids), known.min() - (known.std() or 1.0) if len(known) else 0.0)
        scores_K[known_K] = known
        return scores_K

    def in_given_order() -> Floats:
        return -np.arange(len(ids), dtype=np.float64)

    scores_K = stages.run("score", score, in_given_order)
    keys_K = np.where(known_K, item_idx_K, n + np.arange(len(ids)))
    history_L = np.empty(0, np.int64) if asked is None else asked.past.query.item_idx_L

    def choose() -> Slate:
        candidates = candidates_of(world, placement.policy, keys_K, scores_K, history_L)
        return placement.choose(candidates, len(ids), rng)

    by_score_K = keys_K[np.argsort(-scores_K, kind="stable")]
    slate = stages.run("policy", choose, lambda: Slate(by_score_K, np.ones(len(ids))), float("inf"))
    of = {key: (item_id, score) for key, item_id, score in zip(keys_K.tolist(), ids, scores_K.tolist(), strict=True)}
    picks = zip(slate.item_idx.tolist(), slate.propensities.tolist(), strict=True)
    items = [
        RankedItem.model_construct(item_id=of[key][0], rank=rank, score=of[key][1], probability=probability)
        for rank, (key, probability) in enumerate(picks, 1)
    ]
    return items, slate
