"""The optimum of the synthetic world: how many clicks a visit is worth to someone who knows every taste and plans ahead."""

# B visitors, T topics, M remembered clicks, Z memories ((T + 1) ** M), S places of a slate, H slates, A ways to fill a slate with topics

from __future__ import annotations

import numpy as np

from genre.progress import track
from genre.simulation.users import PAD
from genre.simulation.world_users import WorldUsers, WorldVisit
from genre.types import Floats, Histories, Ints


class Optimum:
    """Dynamic programming over what was clicked last, for each visitor's own tastes.

    It is an upper bound, in three ways that cost little: a place is filled when the answers to those above it are known, which no slate
    can do; the best item of a topic may stand in one slate twice; and boredom from more than `memory` clicks ago is forgotten, which
    only makes items look better than they are. `plan` gives slates that keep to the rules: what they earn is a lower bound.
    """

    def __init__(self, users: WorldUsers, slate: int, horizon: int, memory: int = 4) -> None:
        """Prepare.

        Raises:
            ValueError: a world with series, items that appear later, or without repeats, whose optimum is not this one.
        """
        config = users.world.config
        if not config.repeats or config.new_items > 0 or abs(users.world.bonus) > 1e-9:
            raise ValueError("the optimum is known for worlds with repeats: true, new_items: 0 and series: -log(items), which is none")
        self.users, self.slate, self.horizon, self.memory = users, slate, horizon, memory
        self._value_HZ: dict[int, Floats] = {}
        world, n_topics = users.world, config.topics
        # Items of each topic, best first, as many as a slate may need.
        self._item_TS = np.full((n_topics, slate), PAD)
        for topic in range(n_topics):
            mine = np.flatnonzero(world.topic_N == topic)
            mine = mine[np.argsort(-world.quality_N[mine], kind="stable")][:slate]
            self._item_TS[topic, : len(mine)] = mine
        self._quality_TS = np.where(self._item_TS == PAD, -np.inf, world.quality_N[self._item_TS])
        base = n_topics + 1  # topic 0 of the memory is nothing
        code_Z = np.arange(base**memory)
        digit_ZM = code_Z[:, None] // base ** np.arange(memory) % base  # the newest click first
        self.fatigue_ZT = np.zeros((len(code_Z), n_topics))
        for age in range(memory):
            known = digit_ZM[:, age] > 0
            self.fatigue_ZT[known, digit_ZM[known, age] - 1] += config.recovery**age
        self.after_ZT = (code_Z[:, None] * base % base**memory) + 1 + np.arange(n_topics)

    def value(self, user_idx_B: Ints) -> Floats:
        """The most clicks that each visitor's visit can be worth on average, given its past, shape (B,)."""
        start_B = self.memories(self.users.past.take(user_idx_B))
        return np.array([self._solved(user)[0, start] for user, start in zip(track(user_idx_B.tolist(), "solving"), start_B, strict=True)])

    def plan(self, visit: WorldVisit, shown: int) -> Ints:
        """Slates, after `shown` others, of whoever knows every taste and what each memory is worth, shape (B, S)."""
        n_topics, patience = len(self._item_TS), self.users.patience
        topic_AS = np.stack(np.meshgrid(*[np.arange(n_topics)] * self.slate, indexing="ij"), axis=-1).reshape(-1, self.slate)
        nth_AS = np.stack([(topic_AS[:, :s] == topic_AS[:, s, None]).sum(axis=1) for s in range(self.slate)], axis=1)
        slates = []
        for user, memory in zip(visit.user_idx_B.tolist(), self.memories(visit.histories()), strict=True):
            later_Z = self._solved(user)[min(shown + 1, self.horizon)]
            # All that may have happened above a place: how likely it is, the memory then, the clicks so far.
            paths = [(np.ones(len(topic_AS)), np.full(len(topic_AS), memory), 0)]
            for s in range(self.slate):
                grown = []
                for chance_A, memory_A, clicks in paths:
                    click_A = self._chance(user, s, memory_A, topic_AS[:, s], self._quality_TS[topic_AS[:, s], nth_AS[:, s]])
                    grown.append((chance_A * click_A, self.after_ZT[memory_A, topic_AS[:, s]], clicks + 1))
                    grown.append((chance_A * (1 - click_A), memory_A, clicks))
                paths = grown
            stay = (1 - patience.after_nothing, 1 - patience.after_click)
            worth_A = sum(chance_A * (clicks + stay[clicks > 0] * later_Z[memory_A]) for chance_A, memory_A, clicks in paths)
            best = int(np.argmax(worth_A))
            slates.append(self._item_TS[topic_AS[best], nth_AS[best]])
        return np.stack(slates)

    def memories(self, histories: Histories) -> Ints:
        """The number of each history's memory."""
        code_B = np.zeros(len(histories), np.int64)
        base, topic_N = self.users.world.config.topics + 1, self.users.world.topic_N
        for b in range(len(histories)):
            for age, item in enumerate(histories.items(b)[::-1][: self.memory]):
                code_B[b] += (1 + topic_N[item]) * base**age
        return code_B

    def _solved(self, user: int) -> Floats:
        """The value of every memory after so many slates, for one user, shape (H + 1, Z)."""
        if user not in self._value_HZ:
            patience, topics = self.users.patience, np.arange(len(self._item_TS))
            memory_Z1 = np.arange(len(self.fatigue_ZT))[:, None]
            chance_SZT = [self._chance(user, s, memory_Z1, topics, self._quality_TS[:, 0]) for s in range(self.slate)]
            value_HZ = np.zeros((self.horizon + 1, len(self.fatigue_ZT)))
            for h in range(self.horizon - 1, -1, -1):
                # After the last place nothing was clicked (first row), or something (second row).
                later_2Z = [value_HZ[h + 1] * (1 - patience.after_nothing), value_HZ[h + 1] * (1 - patience.after_click)]
                for chance_ZT in chance_SZT[::-1]:
                    clicked_ZT = 1.0 + later_2Z[1][self.after_ZT]
                    later_2Z = [(chance_ZT * clicked_ZT + (1 - chance_ZT) * rest_Z[:, None]).max(axis=1) for rest_Z in later_2Z]
                value_HZ[h] = later_2Z[0]
            self._value_HZ[user] = value_HZ.astype(np.float32)
        return self._value_HZ[user]

    def _chance(self, user: int, place: int, memory: Ints, topic: Ints, quality: Floats) -> Floats:
        """How likely an item of this topic and quality is clicked at a place."""
        world = self.users.world
        utility = world.taste_UT[user, topic] - world.config.boredom * self.fatigue_ZT[memory, topic] + quality
        return np.asarray(world.examination(self.slate)[place] / (1 + np.exp(world.config.reluctance - utility)))
