"""Visitors whose wishes are known: they click one item, whoever they are, and never leave of themselves."""

from __future__ import annotations

import numpy as np

from genre.simulation.users import Answer, Users, Visit
from genre.types import Histories, Ints


class Lovers(Users):
    """Visitors without a past."""

    loved = 13

    def __init__(self, n_items: int = 20) -> None:
        self.n_items = n_items

    def arrive(self, n: int, rng: np.random.Generator) -> Visit:
        return LoversVisit(Histories(np.zeros(0, np.int32), np.zeros(0), np.zeros(n + 1, np.int64), np.full(n, np.nan)))


class LoversVisit(Visit):
    def __init__(self, histories: Histories) -> None:
        self._histories = histories

    def histories(self) -> Histories:
        return self._histories

    def answer(self, item_idx_BS: Ints, rng: np.random.Generator) -> Answer:
        return Answer(item_idx_BS == Lovers.loved, np.zeros(len(item_idx_BS), bool))

    def take(self, rows: Ints) -> LoversVisit:
        return LoversVisit(self._histories.take(rows))
