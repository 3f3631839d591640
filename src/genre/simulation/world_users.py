"""The synthetic world's users as visitors: they like topics, tire of them, look at places in order, and leave when bored."""

# B visitors, S places of a slate, T topics, U users of the world

from __future__ import annotations

import numpy as np
from pydantic import Field, NonNegativeInt

from genre.component import Settings
from genre.data.synthetic import State, World
from genre.simulation.users import PAD, Answer, Users, Visit, appended, checked
from genre.types import Histories, Ints


class Patience(Settings):
    """When visitors leave."""

    after_click: float = Field(0.02, ge=0, le=1)
    """The chance to leave after a slate with at least one click."""
    after_nothing: float = Field(0.25, ge=0, le=1)
    """The chance to leave after a slate without a click: what bores is not asked again."""
    past_events: NonNegativeInt = 20
    """The newest so many events of the world's log are a visitor's history before the visit."""


class WorldUsers(Users):
    """Visitors from a world whose tastes and boredom are known, so that the best that could be done is known, too."""

    def __init__(self, world: World, patience: Patience | None = None, who: Ints | None = None) -> None:
        """A population.

        Args:
            who: the users of the world who come; all of them by default.
        """
        self.world, self.patience = world, patience or Patience()
        self.who = np.arange(world.config.users) if who is None else who
        self.n_items = world.config.items
        self.past = world.sample_histories().newest(self.patience.past_events)

    def arrive(self, n: int, rng: np.random.Generator) -> WorldVisit:
        """See Users.arrive; everything of the catalogue is there."""
        return self.visit(self.who[rng.integers(len(self.who), size=n)])

    def visit(self, user_idx_B: Ints) -> WorldVisit:
        """These users of the world."""
        past = self.past.take(user_idx_B)
        past = Histories(past.item_idx_E, np.full(len(past.item_idx_E), np.nan), past.offsets, np.full(len(past), np.nan))
        return WorldVisit(self, user_idx_B, self.world.replay(past), past)


class WorldVisit(Visit):
    """A click moves the user on at once, so what stands below it in the same slate is already looked at with more boredom."""

    def __init__(self, users: WorldUsers, user_idx_B: Ints, state: State, histories: Histories) -> None:
        self.users, self.user_idx_B, self.state, self._histories = users, user_idx_B, state, histories

    def histories(self) -> Histories:
        """See Visit.histories."""
        return self._histories

    def answer(self, item_idx_BS: Ints, rng: np.random.Generator) -> Answer:
        """See Visit.answer."""
        world, patience = self.users.world, self.users.patience
        item_idx_BS = checked(item_idx_BS, len(self.user_idx_B), self.users.n_items)
        clicked_BS = np.zeros(item_idx_BS.shape, bool)
        examined_S = world.examination(item_idx_BS.shape[1])
        rows = np.arange(len(item_idx_BS))
        for s, item_B in enumerate(item_idx_BS.T):
            utility_B = world.utility(self.user_idx_B, self.state)[rows, item_B]
            can_B = (item_B != PAD) & (world.config.repeats | ~(self.state.seen_BL == item_B[:, None]).any(axis=1))
            chance_B = examined_S[s] / (1.0 + np.exp(world.config.reluctance - utility_B))
            clicked_BS[:, s] = can_B & (rng.random(len(rows)) < chance_B)
            self.state = world.step(self.state, item_B, clicked_BS[:, s])
        self._histories = appended(self._histories, item_idx_BS, clicked_BS)
        leave_B = np.where(clicked_BS.any(axis=1), patience.after_click, patience.after_nothing)
        return Answer(clicked_BS, rng.random(len(rows)) < leave_B)

    def take(self, rows: Ints) -> WorldVisit:
        """See Visit.take."""
        return WorldVisit(self.users, self.user_idx_B[rows], self.state.take(rows), self._histories.take(rows))
