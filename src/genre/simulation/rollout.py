"""Rollouts: many visitors served at once by something that decides, until they have left."""

# B visitors, R of them still there, S places of a slate, H slates shown to everyone

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genre.simulation.users import PAD, Users, Visit
from genre.types import Bools, Floats, Histories, Ints

Decide = Callable[[Histories, np.random.Generator], tuple[Ints, Floats]]
"""Histories of B visitors -> items shown (B, S), and how likely each pick was at its place given those above it (B, S)."""


@dataclass(frozen=True)
class Episodes:
    """What was shown to B visitors, and what came of it.

    Attributes:
        item_BHS: items shown, -1 once the visitor had left.
        propensity_BHS: how likely each pick was; 1 where nothing was shown.
        clicked_BHS: what was clicked.
        there_BH: who was still there when the slate was shown.
        histories: before each slate, H of them.
        after: histories at the end.
        stayed_B: who had not left at the end.
    """

    item_BHS: Ints
    propensity_BHS: Floats
    clicked_BHS: Bools
    there_BH: Bools
    histories: tuple[Histories, ...]
    after: Histories
    stayed_B: Bools

    @property
    def reward_B(self) -> Floats:
        """Clicks of each visit: the long-term reward."""
        return np.asarray(self.clicked_BHS.sum(axis=(1, 2)), np.float64)


def play(users: Users, decide: Decide, n: int, horizon: int, rng: np.random.Generator, visit: Visit | None = None) -> Episodes:
    """Serve n visitors until they leave, `horizon` slates at most.

    Args:
        visit: those visitors instead of n new ones.
    """
    if horizon < 1 or n < 1:
        raise ValueError(f"at least one visitor and one slate are needed, got {n} and {horizon}")
    visit = visit or users.arrive(n, rng)
    there_B = np.ones(len(visit.histories()), bool)
    items, chances, clicks, there, before = [], [], [], [], []
    for _ in range(horizon):
        histories = visit.histories()
        rows = np.flatnonzero(there_B)
        picked_RS, chance_RS = decide(histories.take(rows), rng)
        item_BS, chance_BS = np.full((len(there_B), picked_RS.shape[1]), PAD), np.ones((len(there_B), picked_RS.shape[1]))
        item_BS[rows], chance_BS[rows] = picked_RS, chance_RS
        before.append(histories)
        there.append(there_B)
        answer = visit.answer(item_BS, rng)
        items.append(item_BS)
        chances.append(chance_BS)
        clicks.append(answer.clicked_BS)
        there_B = there_B & ~answer.left_B
    return Episodes(
        np.stack(items, 1), np.stack(chances, 1), np.stack(clicks, 1), np.stack(there, 1), tuple(before), visit.histories(), there_B
    )  # fmt: skip
