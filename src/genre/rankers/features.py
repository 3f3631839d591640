"""Features: what a deep ranker is told of a user, an item and a request, as one row of numbers a candidate."""

# B queries, E candidates of all queries one after another, M rankers, N items, D content dimensions, P principal components, F features

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from genre.component import Arrays
from genre.fading import DAY
from genre.rankers.candidates import ranks_E
from genre.types import Floats, Histories, Ints
from genre.vectors import unit

TOUCHED, SHOWN = "touched", "shown"
"""What is counted: interactions, and where there are impressions the times an item was shown."""
Rows = npt.NDArray[np.float32]
Vectors = Callable[[Ints], npt.NDArray[np.float32]]
"""Gives the unit content vectors of some items, shape (K, D)."""
HISTORIES_AT_ONCE = 256
DECAY = 0.9
"""Weight of each step of a history relative to the one after it, in the mean of its content."""
LARGEST = 20.0
"""Scaled scores are cut here: a ranker that is surer than this of one item says no more by being surer still."""
LONG_AGO = 7.0
"""Stands for the logarithm of the steps since an item was met, where it never was."""
SAMPLE = 20_000
"""Items whose content the principal components are computed from."""
BEHAVIOUR = ("log history length", "log days since the last event", "log popularity of the history")
OWN = ("log times in the history", "log steps since in the history")
CLOCK = ("has a clock", "hour, sine", "hour, cosine", "weekday, sine", "weekday, cosine")
CYCLES = {"hour": DAY, "weekday": 7 * DAY}
"""What comes round after how many seconds."""


class Counting(Protocol):
    """What features ask of counters: those of any past moment, or, while serving, those of now."""

    @property
    def names(self) -> list[str]:
        """What the columns of `at` say."""

    @property
    def total(self) -> int:
        """Events counted."""

    def at(self, item_Q: Ints, now_Q: Floats) -> npt.NDArray[np.float32]:
        """See Counters.at."""


@dataclass(frozen=True)
class Features:
    """Turns candidates into rows.

    Attributes:
        names_M: whose scores come in, for the names of the columns.
        scale_M: the spread of each ranker's scores over all queries.
        counters: point-in-time counters by what they count.
        axes_DP: principal axes of the content, the first of which are given to the network as they are; None without content.
        context: for each name of the request's context the values that are known; all others are the same as none.
        words: whether it is a feature how near an item is to what was asked for in words.
    """

    names_M: tuple[str, ...]
    scale_M: Floats
    counters: Mapping[str, Counting]
    axes_DP: Floats | None
    context: Mapping[str, tuple[str, ...]]
    words: bool = False

    @property
    def names(self) -> list[str]:
        """What each column says, in order."""
        found = [f"{name}, {what}" for name in self.names_M for what in ("score", "score within the query", "rank")]
        found += [f"{what}, {column}" for what, counters in self.counters.items() for column in counters.names]
        if {TOUCHED, SHOWN} <= set(self.counters):
            found += [f"rate, {column}" for column in self.counters[SHOWN].names[:-2]]
        found += [*OWN, *BEHAVIOUR, *CLOCK]
        if self.axes_DP is not None:
            found += ["content near the history", "content near the last", *(f"content {p}" for p in range(self.axes_DP.shape[1]))]
        if self.words:
            found += ["asked for in words", "content near the words"]
        return found + self.context_names

    @property
    def context_names(self) -> list[str]:
        """The last columns, one a known value of the context."""
        return [f"{name} is {value}" for name, values in self.context.items() for value in values]

    def of(self, queries: Histories, score_MBN: Sequence[Floats], item_E: Ints, offsets: Ints, vectors: Vectors | None = None) -> Rows:
        """One row a candidate, shape (E, F); every number is finite, and nothing after `now_B` is looked at.

        Args:
            score_MBN: every ranker's scores of the whole catalogue.
            item_E: the candidates; query b owns `offsets[b]:offsets[b + 1]`.
            vectors: of the content, where `axes_DP` is given.
        """
        owner_E = np.repeat(np.arange(len(queries)), np.diff(offsets))
        columns: list[Floats] = []
        for score_BN, scale in zip(score_MBN, self.scale_M, strict=True):
            columns += _scores(score_BN, float(scale), owner_E, item_E)
        now_E = queries.now_B[owner_E]
        counted = {what: counters.at(item_E, now_E) for what, counters in self.counters.items()}
        columns += [column for found in counted.values() for column in found.T]
        if {TOUCHED, SHOWN} <= set(counted):
            usual = self.counters[TOUCHED].total / max(self.counters[SHOWN].total, 1)
            columns += list(rates(counted[TOUCHED][:, :-2], counted[SHOWN][:, :-2], min(usual, 1.0)).T)
        columns += _own(queries, item_E, owner_E)
        columns += [column_B[owner_E] for column_B in (*self._behaviour(queries), *clock(queries.now_B))]
        if self.axes_DP is not None:
            assert vectors is not None
            item_ED = vectors(item_E)
            columns += _content(queries, item_ED, owner_E, vectors, self.axes_DP)
            if self.words:
                columns += _asked(queries, item_ED, owner_E)
        for name, values in self.context.items():
            given = queries.context.get(name, [None] * len(queries))
            columns += [np.array([each == value for each in given], np.float32)[owner_E] for value in values]
        return np.stack(columns, axis=1).astype(np.float32) if columns else np.empty((len(item_E), 0), np.float32)

    def hardly_seen(self, now_I: Floats) -> Ints:
        """Columns of the clock whose cycle did not go round twice between the first and the last of these moments.

        They tell the days of a log apart, not the days of weeks to come: what is learnt of them misleads on the next day.
        """
        known_I = now_I[np.isfinite(now_I)]
        span = float(np.ptp(known_I)) if len(known_I) else 0.0
        short = [cycle for cycle, seconds in CYCLES.items() if span < 2 * seconds]
        return np.array([f for f, name in enumerate(self.names) if name in CLOCK and name.split(",")[0] in short], np.int64)

    def _behaviour(self, queries: Histories) -> list[Floats]:
        recent = queries.newest(50)
        popular_E = next(iter(self.counters.values())).at(recent.item_idx_E, queries.now_B[recent.owner_E()])[:, 0]
        popular_B = np.bincount(recent.owner_E(), popular_E, len(queries)) / np.maximum(recent.lengths, 1)
        last_B = np.full(len(queries), np.nan)
        filled = np.flatnonzero(queries.lengths)
        last_B[filled] = queries.time_E[queries.offsets[1:][filled] - 1]
        idle_B = np.log1p(np.nan_to_num(np.maximum(queries.now_B - last_B, 0.0)) / DAY)
        return [np.log1p(queries.lengths), idle_B, popular_B]

    def with_counters(self, counters: Mapping[str, Counting]) -> Features:
        """The same with other counters of the same columns."""
        return replace(self, counters=counters)

    def arrays(self) -> Arrays:
        """All that must be saved but the counters, and the names of the rankers, which the configuration knows."""
        known = json.dumps([list(self.counters), dict(self.context), self.words]).encode()
        state: Arrays = {"scale_M": np.asarray(self.scale_M), "known": np.frombuffer(known, np.uint8)}
        if self.axes_DP is not None:
            state["axes_DP"] = np.asarray(self.axes_DP)
        return state

    @classmethod
    def restored(cls, state: Arrays, names_M: tuple[str, ...], counters_of: Callable[[str], Counting]) -> Features:
        """From what `arrays` gave, and the counters by the name of what they count."""
        counted, context, words = json.loads(state["known"].tobytes())
        known = {name: tuple(values) for name, values in context.items()}
        return cls(names_M, state["scale_M"], {name: counters_of(name) for name in counted}, state.get("axes_DP"), known, words)


def principal_axes(content_ND: Floats, n: int, rng: np.random.Generator) -> Floats:
    """The n directions in which the content varies most, each scaled so that what is projected has variance 1, shape (D, P)."""
    rows = rng.permutation(len(content_ND))[:SAMPLE]
    centred = content_ND[rows] - content_ND[rows].mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    spread = spread / np.sqrt(max(len(rows), 1))
    n = min(n, int((spread > 1e-6).sum()))
    return np.asarray((axes[:n] / spread[:n, None]).T, np.float32)


def rates(touched_EC: Floats, shown_EC: Floats, usual: float) -> Floats:
    """Logarithm of how often an item was touched for each time it was shown, from logarithms of 1 + both counts.

    As if each had been shown ten times more with the usual success, so that what was hardly shown has the usual rate.
    """
    return np.asarray(np.log((np.expm1(touched_EC) + 10 * usual + 1e-6) / (np.expm1(shown_EC) + 10)))


def clock(now_B: Floats) -> list[Floats]:
    """Hour of the day and day of the week (UTC) as points on circles; zeros without a clock."""
    known_B = np.isfinite(now_B)
    day_B = np.where(known_B, now_B, 0.0) / DAY
    found: list[Floats] = [known_B.astype(np.float32)]
    for turn_B in (day_B % 1.0, day_B / 7 % 1.0):
        found += [np.sin(2 * np.pi * turn_B) * known_B, np.cos(2 * np.pi * turn_B) * known_B]
    return found


def _scores(score_BN: Floats, scale: float, owner_E: Ints, item_E: Ints) -> list[Floats]:
    spread_B = score_BN.std(axis=1)
    raw_E = score_BN[owner_E, item_E]
    within_E = (raw_E - score_BN.mean(axis=1)[owner_E]) / np.where(spread_B > 0, spread_B, 1.0)[owner_E]
    return [
        np.clip(raw_E / scale, -LARGEST, LARGEST),
        np.clip(within_E, -LARGEST, LARGEST),
        -np.log2(1.0 + ranks_E(score_BN, owner_E, item_E)),
    ]


def _own(queries: Histories, item_E: Ints, owner_E: Ints) -> list[Floats]:
    """How often and how long ago the candidate was in the history: what repeats are told by."""
    width = int(max(item_E.max(initial=0), queries.item_idx_E.max(initial=0))) + 1
    met_K, which_K = np.unique(queries.owner_E() * width + queries.item_idx_E, return_inverse=True)
    times_K = np.append(np.bincount(which_K, minlength=len(met_K)), 0)
    newest_K = np.append(np.full(len(met_K), np.iinfo(np.int64).max), 0)
    np.minimum.at(newest_K, which_K, queries.age_E())
    key_E = owner_E * width + item_E
    place_E = np.searchsorted(met_K, key_E)
    place_E = np.where(np.append(met_K, -1)[place_E] == key_E, place_E, len(met_K))  # the last place stands for never
    times_E = times_K[place_E]
    return [np.log1p(times_E), np.where(times_E > 0, np.log1p(newest_K[place_E]), LONG_AGO)]


def _content(queries: Histories, item_ED: Rows, owner_E: Ints, vectors: Vectors, axes_DP: Floats) -> list[Floats]:
    profile_BD = np.zeros((len(queries), item_ED.shape[1]), np.float32)
    last_BD = np.zeros_like(profile_BD)
    for start in range(0, len(queries), HISTORIES_AT_ONCE):
        some = queries.take(slice(start, start + HISTORIES_AT_ONCE))
        filled = np.flatnonzero(some.lengths)
        if len(filled):
            vector_LD = vectors(some.item_idx_E)
            weight_L = (DECAY ** some.age_E()).astype(np.float32)
            profile_BD[start + filled] = np.add.reduceat(weight_L[:, None] * vector_LD, some.offsets[:-1][filled], axis=0)
            last_BD[start + filled] = vector_LD[some.offsets[1:][filled] - 1]
    return [*(near(item_ED, user_BD[owner_E]) for user_BD in (unit(profile_BD), last_BD)), *(item_ED @ axes_DP).T]


def _asked(queries: Histories, item_ED: Rows, owner_E: Ints) -> list[Floats]:
    """Whether something was asked for in words, and how near each candidate is to it."""
    if queries.words_BD is None:
        return [np.zeros(len(owner_E)), np.zeros(len(owner_E))]
    words_BD = unit(queries.words_BD.astype(np.float32))
    said_B = np.asarray(words_BD.any(axis=1), np.float32)
    return [said_B[owner_E], near(item_ED, words_BD[owner_E])]


def near(one_ED: Floats, other_ED: Floats) -> Floats:
    """Dot products, row by row."""
    return np.asarray(np.einsum("ed,ed->e", one_ED, other_ED))
