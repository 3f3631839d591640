"""How users of the synthetic world choose: tastes, popularity, series, boredom and position bias, with exact probabilities."""

# U users of the world, N items, T topics, D days; B users at hand, L choices so far, S places of a slate

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from genre.component import Settings
from genre.data.synthetic_text import TOPICS
from genre.types import Bools, Floats, Histories, Ints

START = 1_704_067_200.0
"""When the world begins, unix seconds: 2024-01-01."""
DAY = 86_400.0
TRIES = 12
"""Rounds of rejection before the choice is drawn from the full list of probabilities."""


class WorldConfig(Settings):
    """How large the world is and how strong each force in it; utilities are in nats."""

    seed: int = 0
    users: PositiveInt = 300
    items: int = Field(200, ge=10)
    topics: int = Field(8, ge=2, le=len(TOPICS))
    events_per_user: PositiveFloat = 20.0
    """The mean; the number is log-normal beyond `min_events`."""
    min_events: PositiveInt = 3
    max_events: PositiveInt = 200
    """Also at most half the catalogue, unless repeats are allowed."""
    days: PositiveInt = 365
    session_length: float = Field(4.0, ge=1.0)
    """Mean events a session; within it they are minutes apart."""
    repeats: bool = False
    """Whether a user may choose an item again."""
    taste: NonNegativeFloat = 1.5
    """Standard deviation of a user's liking of a topic."""
    popularity: NonNegativeFloat = 0.8
    """Zipf exponent: an item's appeal is -popularity * log(its rank)."""
    series_length: PositiveInt = 5
    """Items of a series have one topic and an order."""
    series: float = 0.0
    """Added to the utility of the item that follows the last choice in its series, on top of log(items): no catalogue dilutes it."""
    boredom: NonNegativeFloat = 0.5
    """Taken from a topic's utility for each recent choice of it."""
    recovery: float = Field(0.7, ge=0.0, lt=1.0)
    """What is left of boredom after each further choice."""
    new_items: float = Field(0.3, ge=0.0, lt=1.0)
    """Share of items that are created while the log runs; the others are there from the first day."""
    text_noise: float = Field(0.2, ge=0.0, le=1.0)
    """Probability that a word of an item's text is of a random topic."""
    position_bias: NonNegativeFloat = 1.0
    """Place s of a slate is looked at with probability (s + 1) ** -position_bias, s from 0."""
    reluctance: float = 1.0
    """An item looked at is clicked with probability sigmoid(utility - reluctance)."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_events <= self.events_per_user <= self.max_events:
            raise ValueError("min_events <= events_per_user <= max_events is needed")
        return self


@dataclass(frozen=True)
class State:
    """Where B users stand: all that their next choice depends on beside their tastes.

    Attributes:
        last_B: item chosen last, -1 before the first choice.
        fatigue_BT: choices of each topic, older ones fading.
        day_B: the day, from 0; items created later are not there yet.
        seen_BL: items chosen so far, -1 where there are fewer.
    """

    last_B: Ints
    fatigue_BT: Floats
    day_B: Ints
    seen_BL: Ints

    def take(self, rows: Ints | slice) -> State:
        """Some of the users."""
        return State(self.last_B[rows], self.fatigue_BT[rows], self.day_B[rows], self.seen_BL[rows])


class ChoiceModel:
    """Who likes what, and how likely anyone is to choose anything next. The same config gives the same model."""

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        rng = np.random.default_rng([config.seed, 0])
        n, n_topics = config.items, config.topics
        # Item j is volume j % length of series j // length; a random relabelling hides that order from the ids.
        label_N = rng.permutation(n)
        series_of = np.arange(n) // config.series_length
        self.series_N = np.empty(n, np.int64)
        self.series_N[label_N] = series_of
        self.volume_N = np.empty(n, np.int64)
        self.volume_N[label_N] = np.arange(n) % config.series_length
        self.successor_N = np.full(n, -1, np.int64)
        follows = np.flatnonzero(series_of[1:] == series_of[:-1])
        self.successor_N[label_N[follows]] = label_N[follows + 1]
        self.topic_N = rng.integers(n_topics, size=series_of[-1] + 1)[self.series_N]
        quality_N = -config.popularity * np.log(rng.permutation(n) + 1.0)
        self.quality_N = quality_N - np.log(np.exp(quality_N).mean())
        late_N = rng.random(n) < config.new_items
        self.created_N = np.where(late_N, rng.integers(config.days, size=n), 0)
        self.taste_UT = config.taste * rng.normal(size=(config.users, n_topics))
        self.bonus = config.series + np.log(n)

        # For drawing an item within a topic: items ordered by topic, then day of creation, and running sums of their weights.
        self._order_N = np.lexsort((self.created_N, self.topic_N))
        self._running = np.concatenate([[0.0], np.cumsum(np.exp(self.quality_N[self._order_N]))])
        key_N = (self.topic_N * config.days + self.created_N)[self._order_N]
        self._end_DT = np.searchsorted(key_N, np.arange(n_topics) * config.days + np.arange(config.days)[:, None], side="right")
        self._start_T = np.searchsorted(key_N, np.arange(n_topics) * config.days)
        self._weight_DT = self._running[self._end_DT] - self._running[self._start_T]

    def fresh(self, n_users: int, day: int = 0) -> State:
        """Users who have not chosen anything yet."""
        return State(
            np.full(n_users, -1, np.int32), np.zeros((n_users, self.config.topics)), np.full(n_users, day), np.empty((n_users, 0), np.int32)
        )

    def replay(self, histories: Histories) -> State:
        """Where users stand after these histories, at the day of `now_B`; without a clock every item is there."""
        owner_E, age_E = histories.owner_E(), histories.age_E()
        fatigue_BT = np.zeros((len(histories), self.config.topics))
        np.add.at(fatigue_BT, (owner_E, self.topic_N[histories.item_idx_E]), self.config.recovery**age_E)
        last_B = np.full(len(histories), -1, np.int32)
        last_B[owner_E[age_E == 0]] = histories.item_idx_E[age_E == 0]
        seen_BL = np.full((len(histories), int(histories.lengths.max(initial=0))), -1, np.int32)
        seen_BL[owner_E, age_E] = histories.item_idx_E
        day_B = np.where(np.isnan(histories.now_B), self.config.days - 1, self.day(np.nan_to_num(histories.now_B)))
        return State(last_B, fatigue_BT, day_B, seen_BL)

    def step(self, state: State, item_B: Ints, moved_B: Bools | None = None) -> State:
        """The state after everyone (or those who `moved`) chose an item."""
        moved_B = np.ones(len(item_B), np.bool_) if moved_B is None else moved_B
        fatigue_BT = state.fatigue_BT * np.where(moved_B, self.config.recovery, 1.0)[:, None]
        fatigue_BT[np.flatnonzero(moved_B), self.topic_N[item_B[moved_B]]] += 1.0
        item_B = np.where(moved_B, item_B, -1).astype(np.int32)
        last_B = np.where(moved_B, item_B, state.last_B)
        return State(last_B, fatigue_BT, state.day_B, np.column_stack([state.seen_BL, item_B]))

    def day(self, time_B: Floats) -> Ints:
        """The day, from 0, of a moment in unix seconds."""
        return np.asarray(np.clip((time_B - START) // DAY, 0, self.config.days - 1), np.int64)

    def utility(self, user_idx_B: Ints, state: State) -> Floats:
        """Utility of every item, shape (B, N), whether or not it is there yet or was chosen before."""
        utility_BN: Floats = self._liking_BT(user_idx_B, state)[:, self.topic_N] + self.quality_N
        next_B = np.where(state.last_B >= 0, self.successor_N[state.last_B], -1)
        rows = np.flatnonzero(next_B >= 0)
        utility_BN[rows, next_B[rows]] += self.bonus
        return utility_BN

    def open(self, state: State) -> Bools:
        """Which items can be chosen, shape (B, N): created by then and, without repeats, not chosen before."""
        open_BN = self.created_N <= state.day_B[:, None]
        if not self.config.repeats:
            owner, place = np.nonzero(state.seen_BL >= 0)
            open_BN[owner, state.seen_BL[owner, place]] = False
        return open_BN

    def probabilities(self, user_idx_B: Ints, state: State) -> Floats:
        """The probability that each item is the next choice, shape (B, N): softmax of utility over the open items."""
        utility_BN = np.where(self.open(state), self.utility(user_idx_B, state), -np.inf)
        weight_BN = np.exp(utility_BN - utility_BN.max(axis=1, keepdims=True))
        return np.asarray(weight_BN / weight_BN.sum(axis=1, keepdims=True))

    def best(self, user_idx_B: Ints, state: State, n: int = 1) -> Ints:
        """The n likeliest next choices, best first, shape (B, n): what no recommender can beat on average."""
        order_BN: Ints = np.argsort(-self.probabilities(user_idx_B, state), axis=1, kind="stable")
        return order_BN[:, :n]

    def choose(self, user_idx_B: Ints, state: State, rng: np.random.Generator) -> Ints:
        """Draw everyone's next choice from `probabilities` without computing them: topic, then item, seen ones drawn again."""
        liking_BT = self._liking_BT(user_idx_B, state)
        mass_BT = np.exp(liking_BT) * self._weight_DT[state.day_B]
        next_B, extra_B = self._pull(liking_BT, state)
        edge_BT = np.cumsum(mass_BT, axis=1)
        chosen_B = np.full(len(user_idx_B), -1, np.int32)
        rows = np.arange(len(user_idx_B))
        for _ in range(TRIES):
            point = rng.random(len(rows)) * (extra_B[rows] + edge_BT[rows, -1]) - extra_B[rows]
            topic = np.minimum((edge_BT[rows] <= point[:, None]).sum(axis=1), self.config.topics - 1)
            day = state.day_B[rows]
            target = self._running[self._start_T[topic]] + rng.random(len(rows)) * self._weight_DT[day, topic]
            place = np.searchsorted(self._running, target, side="right") - 1
            drawn = self._order_N[np.clip(place, self._start_T[topic], self._end_DT[day, topic] - 1)]
            drawn = np.where(point < 0, next_B[rows], drawn)
            chosen_B[rows] = drawn
            if self.config.repeats:
                return chosen_B
            rows = rows[(state.seen_BL[rows] == drawn[:, None]).any(axis=1)]
            if not len(rows):
                return chosen_B
        edge_BN = np.cumsum(self.probabilities(user_idx_B[rows], state.take(rows)), axis=1)
        chosen_B[rows] = (edge_BN <= rng.random(len(rows))[:, None] * edge_BN[:, -1:]).sum(axis=1)
        return chosen_B

    def examination(self, n: int) -> Floats:
        """The probability that each of n places is looked at, shape (S,)."""
        return np.asarray(np.arange(1, n + 1) ** -float(self.config.position_bias))

    def click_probability(self, user_idx_B: Ints, state: State, item_idx_BS: Ints) -> Floats:
        """How likely each item of a slate is clicked at its place, shape (B, S); places do not influence each other."""
        utility_BS = np.take_along_axis(self.utility(user_idx_B, state), item_idx_BS, axis=1)
        return np.asarray(self.examination(item_idx_BS.shape[1]) / (1.0 + np.exp(self.config.reluctance - utility_BS)))

    def _liking_BT(self, user_idx_B: Ints, state: State) -> Floats:
        return np.asarray(self.taste_UT[user_idx_B] - self.config.boredom * state.fatigue_BT)

    def _pull(self, liking_BT: Floats, state: State) -> tuple[Ints, Floats]:
        """The next in the series, and the weight it has beyond an ordinary item's."""
        next_B = np.where(state.last_B >= 0, self.successor_N[state.last_B], -1)
        pulls_B = (next_B >= 0) & (self.created_N[next_B] <= state.day_B)
        if not self.config.repeats:
            pulls_B &= ~(state.seen_BL == next_B[:, None]).any(axis=1)
        plain_B = np.exp(liking_BT[np.arange(len(next_B)), self.topic_N[next_B]] + self.quality_N[next_B])
        return next_B, np.where(pulls_B, plain_B * np.expm1(self.bonus), 0.0)
