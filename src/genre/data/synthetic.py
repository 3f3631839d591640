"""A world whose truth is known, and what it logs: items with text, users, events and impressions with propensities."""

# U users of the world, N items, B users at hand, E events of all of them, L steps, S places of a slate

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet

from genre.data.synthetic_choice import DAY, START, ChoiceModel, State, WorldConfig
from genre.data.synthetic_text import TOPICS, write_texts
from genre.types import Floats, Histories, Ints

__all__ = ["State", "World", "WorldConfig", "plackett_luce"]

CHUNK = 20_000
"""Users simulated at once; a constant, since the events drawn depend on it."""

LoggingPolicy = Callable[[Ints, State, np.random.Generator], tuple[Ints, Floats]]
"""Users, their state, randomness -> items shown (B, S) and the probability of each pick given those above it (B, S)."""


class World(ChoiceModel):
    """Users who choose items with known probabilities, and the logs they leave. The same config gives the same events."""

    @cached_property
    def item_ids(self) -> pl.Series:
        """Names of the items, in order of item index; with leading zeros."""
        return _ids("item_id", self.config.items)

    @cached_property
    def user_ids(self) -> pl.Series:
        """Names of the users, in order of user index; with leading zeros."""
        return _ids("user_id", self.config.users)

    @cached_property
    def items(self) -> pl.DataFrame:
        """`item_id`, `title`, `description`, `category`, `price`, `created` (unix seconds), in order of item index."""
        rng = np.random.default_rng([self.config.seed, 1])
        titles, descriptions = write_texts(
            self.topic_N, self.series_N, self.volume_N + 1, self.config.topics, self.config.text_noise, rng
        )  # fmt: skip
        price_N = np.exp(rng.normal(2.0, 0.7, size=self.config.topics)[self.topic_N] + rng.normal(0.0, 0.3, size=self.config.items))
        return pl.DataFrame(
            {
                "item_id": self.item_ids,
                "title": titles,
                "description": descriptions,
                "category": [TOPICS[topic][0] for topic in self.topic_N.tolist()],
                "price": price_N.round(2),
                "created": START + DAY * self.created_N,
            }
        )

    @cached_property
    def users(self) -> pl.DataFrame:
        """`user_id`, `interest`: what users say they like best, true for most of them."""
        rng = np.random.default_rng([self.config.seed, 2])
        said_U = np.where(
            rng.random(self.config.users) < 0.7, self.taste_UT.argmax(axis=1), rng.integers(self.config.topics, size=self.config.users)
        )
        return pl.DataFrame({"user_id": self.user_ids, "interest": [TOPICS[topic][1] for topic in said_U.tolist()]})

    def sample_histories(self) -> Histories:
        """What every user chose, as item indices; the same choices as `events`."""
        parts = [self._simulate(*part) for part in self._parts()]
        count_U = np.concatenate([part[0] for part in parts])
        offsets = np.concatenate([[0], np.cumsum(count_U)])
        item_E, time_E = np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])
        return Histories(item_E, time_E, offsets, time_E[offsets[1:] - 1])

    def events(self) -> pl.DataFrame:
        """Everything that happened, with the columns of `readers.EVENTS`, by time."""
        return pl.concat(list(self.event_chunks())).sort("time", maintain_order=True)

    def event_chunks(self) -> Iterator[pl.DataFrame]:
        """`events` in pieces of 20,000 users, each by time: a world larger than memory."""
        for users, rng in self._parts():
            count_B, item_E, time_E, session_E, value_E = self._simulate(users, rng)
            user_id = self.user_ids.gather(np.repeat(users, count_B))
            yield pl.DataFrame(
                {
                    "user_id": user_id,
                    "item_id": self.item_ids.gather(item_E),
                    "time": time_E,
                    "event": pl.repeat("click", len(item_E), dtype=pl.String, eager=True),
                    "value": value_E,
                    "session_id": user_id + "-" + pl.Series(session_E).cast(pl.String),
                }
            ).sort("time", maintain_order=True)

    def write(self, folder: Path) -> None:
        """Write `events.parquet`, `items.parquet` and `users.parquet`, in bounded memory."""
        folder.mkdir(parents=True, exist_ok=True)
        self.items.write_parquet(folder / "items.parquet")
        self.users.write_parquet(folder / "users.parquet")
        writer: Any = None
        for frame in self.event_chunks():
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pyarrow.parquet.ParquetWriter(folder / "events.parquet", table.schema, compression="zstd")
            writer.write_table(table)
        writer.close()

    def explore(self, size: int = 10, temperature: float = 2.0) -> LoggingPolicy:
        """A logging policy: slates by Plackett-Luce on popularity; a high temperature is close to uniform."""

        def policy(user_idx_B: Ints, state: State, rng: np.random.Generator) -> tuple[Ints, Floats]:
            there_BN = self.created_N <= state.day_B[:, None]
            return plackett_luce(np.where(there_BN, self.quality_N / temperature, -np.inf), size, rng)

        return policy

    def impressions(self, policy: LoggingPolicy | None = None, rounds: int = 10) -> pl.DataFrame:
        """Slates shown to every user once a round, and what was clicked.

        `request_id`, `user_id`, `time`, `item_id`, `position` (from 0), `clicked`, `propensity`: how likely the policy was to put this
        item there, given the places above. Clicks move the state (boredom, series) between rounds.
        """
        policy = policy or self.explore()
        rng = np.random.default_rng([self.config.seed, 4])
        users = np.arange(self.config.users)
        state = self.fresh(len(users))
        frames = []
        for turn in range(rounds):
            time_B = np.floor(START + DAY * self.config.days * (turn + rng.random(len(users))) / rounds)
            state = replace(state, day_B=self.day(time_B))
            item_BS, propensity_BS = policy(users, state, rng)
            clicked_BS = rng.random(item_BS.shape) < self.click_probability(users, state, item_BS)
            for s in range(item_BS.shape[1]):
                state = self.step(state, item_BS[:, s], clicked_BS[:, s])
            size = item_BS.shape[1]
            user_id = self.user_ids.gather(np.repeat(users, size))
            frames.append(
                pl.DataFrame(
                    {
                        "request_id": user_id + f"-{turn:04d}",
                        "user_id": user_id,
                        "time": np.repeat(time_B, size),
                        "item_id": self.item_ids.gather(item_BS.ravel()),
                        "position": np.tile(np.arange(size), len(users)),
                        "clicked": clicked_BS.ravel(),
                        "propensity": propensity_BS.ravel(),
                    }
                )
            )
        return pl.concat(frames)

    def _parts(self) -> Iterator[tuple[Ints, np.random.Generator]]:
        for part, first in enumerate(range(0, self.config.users, CHUNK)):
            users = np.arange(first, min(first + CHUNK, self.config.users))
            yield users, np.random.default_rng([self.config.seed, 3, part])

    def _simulate(self, users: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Floats, Ints, Floats]:
        """Events a user (B,), then items, times, sessions and values of all of them, user after user (E,)."""
        count_B = self._counts(len(users), rng)
        # The most active first, so that those still active at any step are the first rows.
        order = np.argsort(-count_B, kind="stable")
        time_BL, session_BL = self._clock(count_B[order], rng)
        day_BL = self.day(time_BL)
        item_BL = np.full(time_BL.shape, -1, np.int32)
        state = self.fresh(len(users))
        active_L = (count_B[:, None] > np.arange(count_B.max())).sum(axis=0)
        for step, active in enumerate(active_L):
            state = replace(state.take(slice(active)), day_B=day_BL[:active, step])
            item_BL[:active, step] = self.choose(users[order[:active]], state, rng)
            state = self.step(state, item_BL[:active, step])
        back = np.argsort(order)
        item_BL, time_BL, session_BL = item_BL[back], time_BL[back], session_BL[back]
        item_E, time_E, session_E = item_BL[item_BL >= 0], time_BL[item_BL >= 0], session_BL[item_BL >= 0]
        taste_E = self.taste_UT[np.repeat(users, count_B), self.topic_N[item_E]] / max(self.config.taste, 1e-9)
        value_E = np.clip(np.rint(3.0 + taste_E + 0.7 * rng.normal(size=len(item_E))), 1.0, 5.0)
        return count_B, item_E, time_E, session_E, value_E

    def _counts(self, n_users: int, rng: np.random.Generator) -> Ints:
        config, spread = self.config, 0.8
        beyond = config.events_per_user - config.min_events
        most = config.max_events if config.repeats else min(config.max_events, config.items // 2)
        extra_B = beyond * np.exp(spread * rng.normal(size=n_users) - spread**2 / 2)
        return np.minimum(config.min_events + np.rint(extra_B).astype(np.int64), most)

    def _clock(self, count_B: Ints, rng: np.random.Generator) -> tuple[Floats, Ints]:
        """Times and session numbers, shape (B, L), for users sorted by count: sessions anywhere in the year, minutes within one."""
        shape = (len(count_B), int(count_B.max()))
        valid_BL = np.arange(shape[1]) < count_B[:, None]
        opens_BL = (rng.random(shape) < 1.0 / self.config.session_length) & valid_BL
        opens_BL[:, 0] = True
        # Normalised sums of exponentials are sorted uniforms: where in the user's stay each session begins.
        wait_BL = np.cumsum(np.where(opens_BL, rng.exponential(size=shape), 0.0), axis=1)
        share_BL = wait_BL / (wait_BL[:, -1:] + rng.exponential(size=(len(count_B), 1)))
        within_BL = np.cumsum(np.where(opens_BL, 0.0, 5.0 + rng.exponential(180.0, size=shape)), axis=1)
        joined_B = rng.random((len(count_B), 1)) * 0.8 * self.config.days * DAY
        stay_B = self.config.days * DAY - joined_B
        return np.floor(START + joined_B + stay_B * share_BL + within_BL), np.cumsum(opens_BL, axis=1) - 1


def plackett_luce(scores_BN: Floats, n: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Draw n items a row without replacement by softmax of score; with each pick's probability given those before it, both (B, n)."""
    noisy_BN = scores_BN + rng.gumbel(size=scores_BN.shape)
    item_BS = np.argsort(-noisy_BN, axis=1)[:, :n]
    weight_BN: Floats = np.exp(scores_BN - scores_BN.max(axis=1, keepdims=True))
    weight_BS = np.take_along_axis(weight_BN, item_BS, axis=1)
    taken_BS = np.cumsum(weight_BS, axis=1) - weight_BS
    return item_BS, weight_BS / (weight_BN.sum(axis=1, keepdims=True) - taken_BS)


def _ids(name: str, n: int) -> pl.Series:
    return pl.Series(name, np.arange(n)).cast(pl.String).str.zfill(len(str(n)) + 1)
