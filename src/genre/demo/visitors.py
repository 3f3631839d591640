"""Visitors: users of the synthetic world who ask a server for lists over HTTP, look at them, click, and come back."""

# L lists shown, B visitors at a time, S places of a list

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre.data.synthetic import World
from genre.evaluation.intervals import Interval, bootstrap
from genre.progress import track
from genre.serving.client import Client
from genre.serving.contract import EventIn, RecommendResponse
from genre.simulation.users import PAD
from genre.simulation.world_users import Patience, WorldUsers
from genre.types import Floats, Ints

TOGETHER = 100
"""Visitors who ask before the first of them clicks."""
AT_ONCE = 4
"""Requests under way."""


@dataclass(frozen=True)
class Shown:
    """What a server showed, and what came of it.

    Attributes:
        user_L: who was shown each list; clicks_L: what they clicked of it.
        expected_L: how many clicks the world expected of that list, before chance.
        variant_L, model_L: what answered.
        degraded: answers that something simpler gave.
    """

    user_L: Ints
    clicks_L: Floats
    expected_L: Floats
    variant_L: npt.NDArray[np.str_]
    model_L: npt.NDArray[np.str_]
    degraded: int

    def __len__(self) -> int:
        return len(self.user_L)

    def a_list(self, values_L: Floats | None = None, rows_L: npt.NDArray[np.bool_] | None = None) -> Interval:
        """Clicks a list, with an interval over users."""
        rows = np.ones(len(self), bool) if rows_L is None else rows_L
        counted = np.bincount(self.user_L[rows])
        sums = np.bincount(self.user_L[rows], (self.clicks_L if values_L is None else values_L)[rows])
        return bootstrap((sums[counted > 0] / counted[counted > 0])[:, None])[0]


class Visitors:
    """Everybody of a world, each with a state that lasts: what was clicked is known, and bores."""

    def __init__(self, world: World, client: Client, surface: str, places: int, seed: int) -> None:
        everything = Patience(past_events=world.config.max_events)
        users = WorldUsers(world, everything)
        self.world, self.client, self.surface, self.places = world, client, surface, places
        self._rng = np.random.default_rng([seed, 7])
        starts = range(0, world.config.users, TOGETHER)
        self._visits = [users.visit(np.arange(start, min(start + TOGETHER, world.config.users))) for start in starts]
        self._names = world.user_ids.to_list()
        self._items = {item: i for i, item in enumerate(world.item_ids.to_list())}

    def come(self, what: str, rounds: int = 1) -> Shown:
        """Everybody asks for a list, `rounds` times, and clicks what they like."""
        turns = range(rounds * len(self._visits))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            parts = [self._visit(turn % len(self._visits), pool) for turn in track(turns, what)]
        user_L, clicks_L, expected_L, variant_L, model_L = (
            np.concatenate(column) for column in zip(*(part[:5] for part in parts), strict=True)
        )
        return Shown(user_L, clicks_L, expected_L, variant_L, model_L, sum(part[5] for part in parts))

    def _visit(self, block: int, pool: ThreadPoolExecutor) -> tuple[Ints, Floats, Floats, npt.NDArray[np.str_], npt.NDArray[np.str_], int]:
        visit = self._visits[block]
        lists = [*pool.map(self._ask, visit.user_idx_B.tolist())]
        item_BS = np.full((len(lists), self.places), PAD)
        for b, shown in enumerate(lists):
            item_BS[b, : len(shown.items)] = [self._items[item.item_id] for item in shown.items]
        chance_BS = self.world.click_probability(visit.user_idx_B, visit.state, np.maximum(item_BS, 0))
        clicked_BS = visit.answer(item_BS, self._rng).clicked_BS
        self.client.send(self._clicks(lists, visit.user_idx_B, clicked_BS))
        variants, models = np.array([shown.variant or "" for shown in lists]), np.array([shown.model for shown in lists])
        expected_B = np.where(item_BS == PAD, 0.0, chance_BS).sum(axis=1)
        return visit.user_idx_B, clicked_BS.sum(axis=1), expected_B, variants, models, sum(shown.degraded for shown in lists)

    def _ask(self, user: int) -> RecommendResponse:
        return self.client.recommend(self._names[user], self.places, surface=self.surface)

    def _clicks(self, lists: Sequence[RecommendResponse], user_idx_B: Ints, clicked_BS: npt.NDArray[np.bool_]) -> list[EventIn]:
        return [
            EventIn(
                event_id=uuid.uuid4().hex, type="click", user_id=self._names[user_idx_B[b]], item_id=lists[b].items[s].item_id,
                request_id=lists[b].request_id, position=s + 1, surface=self.surface,
            )
            for b, s in np.argwhere(clicked_BS).tolist()
        ]  # fmt: skip
