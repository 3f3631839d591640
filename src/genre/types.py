"""The values that cross a layer: ragged histories, what a ranker is trained on, what a list is judged by."""

# B queries (or users), E entries of all of them one after another, N items, D embedding, K candidates

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import polars as pl

    from genre.rankers import Ranker

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]


def offsets_of(lengths_B: Ints | Sequence[int]) -> npt.NDArray[np.int64]:
    """Where each of B runs begins, and where the last one ends, shape (B + 1,)."""
    return np.concatenate([[0], np.cumsum(lengths_B, dtype=np.int64)]).astype(np.int64)


def picked(offsets: Ints, rows: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Some of the runs, one after another: their own offsets, and the places of their entries."""
    lengths = np.diff(offsets)[rows]
    found = offsets_of(lengths)
    return found, np.arange(found[-1]) + np.repeat(offsets[:-1][rows] - found[:-1], lengths)


def context_text(value: str | float) -> str:
    """What a request says of itself, as text: what was learnt from a log and what is served must call it the same."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


@dataclass(frozen=True)
class Histories:
    """What B users did, oldest first: one flat column of entries, cut by `offsets`.

    Attributes:
        item_idx_E: dense item indices, int32.
        time_E: unix seconds, float64; NaN where only the order within a user is known.
        offsets: B + 1 positions; user b owns entries `offsets[b]:offsets[b + 1]`, possibly none.
        now_B: the moment each list is asked for, unix seconds; NaN where there is no clock.
        disliked: what the same users rated too low to count: nothing is learnt from it, and it is not recommended. None where nothing is.
        context: what else is known of each request (device, surface), by name, B values each; None where unknown.
        words_BD: what each asked for in words, as a vector in the space of the content; zeros where nothing. None where nobody did.
    """

    item_idx_E: Ints
    time_E: Floats
    offsets: Ints
    now_B: Floats
    disliked: Histories | None = None
    context: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    words_BD: Floats | None = None

    def __post_init__(self) -> None:
        for name, values in self.context.items():
            if len(values) != len(self):
                raise ValueError(f"{name}: {len(values)} values for {len(self)} queries")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.item_idx_E):
            raise ValueError(f"offsets run from {self.offsets[0]} to {self.offsets[-1]}, entries are {len(self.item_idx_E)}")
        if len(self.now_B) != len(self) or len(self.time_E) != len(self.item_idx_E):
            raise ValueError("one `now` a user and one time an entry are needed")

    @classmethod
    def of(cls, items: Sequence[Sequence[int] | Ints], times: Sequence[Sequence[float] | Floats] | None = None) -> Histories:
        """Histories from lists of item indices; without times every clock is NaN."""
        offsets = offsets_of([len(row) for row in items])
        flat = np.concatenate([np.asarray(row, np.int32) for row in items]) if len(items) else np.empty(0, np.int32)
        clock = np.full(len(flat), np.nan)
        if times is not None and len(flat):
            clock = np.concatenate([np.asarray(row, np.float64) for row in times])
        now = np.full(len(items), np.nan)
        filled = np.flatnonzero(np.diff(offsets))
        now[filled] = clock[offsets[1:][filled] - 1]
        return cls(flat, clock, offsets, now)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Entries a user, shape (B,)."""
        return np.diff(self.offsets)

    def items(self, b: int) -> Ints:
        """Item indices of user b, oldest first."""
        return self.item_idx_E[self.offsets[b] : self.offsets[b + 1]]

    def times(self, b: int) -> Floats:
        """Unix seconds of user b's entries."""
        return self.time_E[self.offsets[b] : self.offsets[b + 1]]

    @property
    def seen(self) -> Histories:
        """All that each user knows already: the entries and what was disliked. What is masked unless repeats are allowed."""
        if self.disliked is None:
            return self
        owner_E = np.concatenate([self.owner_E(), self.disliked.owner_E()])
        order_E = np.argsort(owner_E, kind="stable")
        item_idx_E = np.concatenate([self.item_idx_E, self.disliked.item_idx_E])[order_E]
        time_E = np.concatenate([self.time_E, self.disliked.time_E])[order_E]
        return Histories(item_idx_E, time_E, self.offsets + self.disliked.offsets, self.now_B)

    def owner_E(self) -> Ints:
        """The user b that each entry belongs to, shape (E,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def age_E(self) -> Ints:
        """How many entries of the same user are newer: 0 for each user's last entry, shape (E,)."""
        return np.repeat(self.offsets[1:], self.lengths) - 1 - np.arange(len(self.item_idx_E))

    def item_counts(self, n_items: int) -> Ints:
        """Entries an item, shape (N,)."""
        return np.bincount(self.item_idx_E, minlength=n_items)

    def take(self, rows: Ints | slice) -> Histories:
        """The histories of some of the users, in the order asked for."""
        rows = np.arange(len(self))[rows]
        offsets, entries = picked(self.offsets, rows)
        disliked = None if self.disliked is None else self.disliked.take(rows)
        context = {name: [values[row] for row in rows] for name, values in self.context.items()}
        words_BD = None if self.words_BD is None else self.words_BD[rows]
        return Histories(self.item_idx_E[entries], self.time_E[entries], offsets, self.now_B[rows], disliked, context, words_BD)

    def before(self, rows: Ints, now_B: Floats) -> Histories:
        """What some of the users had done strictly before a moment each; entries without a clock are before every moment."""
        time_E = np.where(np.isnan(self.time_E), -np.inf, self.time_E)
        moments = np.unique(np.concatenate([time_E, now_B]))
        key_E = self.owner_E() * (len(moments) + 1) + np.searchsorted(moments, time_E)
        # Within a user entries are sorted by time, so one search finds where the moment cuts the history.
        stop_B = np.searchsorted(key_E, rows * (len(moments) + 1) + np.searchsorted(moments, now_B))
        start_B = self.offsets[rows]
        offsets = offsets_of(stop_B - start_B)
        entries = np.arange(offsets[-1]) + np.repeat(start_B - offsets[:-1], stop_B - start_B)
        disliked = None if self.disliked is None else self.disliked.before(rows, now_B)
        return Histories(self.item_idx_E[entries], self.time_E[entries], offsets, now_B, disliked)

    def of_some(self, who_B: Bools) -> Histories:
        """The same where true; whoever else is asked for has no past."""
        keep_E = np.repeat(who_B, self.lengths)
        offsets = offsets_of(np.where(who_B, self.lengths, 0))
        disliked = None if self.disliked is None else self.disliked.of_some(who_B)
        now_B = np.where(who_B, self.now_B, np.nan)
        return replace(
            self, item_idx_E=self.item_idx_E[keep_E], time_E=self.time_E[keep_E], offsets=offsets, now_B=now_B, disliked=disliked
        )

    def only(self, keep_E: Bools) -> Histories:
        """Some of the entries of every user."""
        kept_B = np.bincount(self.owner_E()[keep_E], minlength=len(self))
        return replace(self, item_idx_E=self.item_idx_E[keep_E], time_E=self.time_E[keep_E], offsets=offsets_of(kept_B))

    def newest(self, n: int) -> Histories:
        """Each user's last n entries."""
        return self.only(self.age_E() < n)

    def batches(self, size: int) -> Iterator[Histories]:
        """Consecutive slices of at most `size` users."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


@dataclass(frozen=True)
class GroundTruth:
    """Queries with the items that really came next: what metrics and validation are computed from.

    Attributes:
        queries: B histories as they stood before the targets.
        target_E: the right items of all queries one after another; each query has at least one.
        offsets: B + 1 positions into `target_E`.
        user_idx_B: whose queries they are.
    """

    queries: Histories
    target_E: Ints
    offsets: Ints
    user_idx_B: Ints

    def __len__(self) -> int:
        return len(self.queries)

    def targets(self, b: int) -> Ints:
        """The right items of query b."""
        return self.target_E[self.offsets[b] : self.offsets[b + 1]]

    def owner_E(self) -> Ints:
        """The query that each target belongs to, shape (E,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows: Ints | slice) -> GroundTruth:
        """Some of the queries, in the order asked for."""
        rows = np.arange(len(self))[rows]
        offsets, entries = picked(self.offsets, rows)
        return GroundTruth(self.queries.take(rows), self.target_E[entries], offsets, self.user_idx_B[rows])

    def draw(self, n: int | None, seed: int) -> GroundTruth:
        """At most n of the queries, at random and in their order; None takes all."""
        if n is None or len(self) <= n:
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), n, replace=False)))

    def distinct(self, repeats: bool) -> GroundTruth:
        """Each target once a query, without what was seen before unless repeats are allowed; queries left without targets leave."""
        seen = self.queries.seen
        width = int(max(seen.item_idx_E.max(initial=0), self.target_E.max(initial=0))) + 1
        owner_E = self.owner_E().astype(np.int64)
        key_E = owner_E * width + self.target_E
        keep_E = np.zeros(len(key_E), bool)
        keep_E[np.unique(key_E, return_index=True)[1]] = True
        if not repeats:
            keep_E &= ~np.isin(key_E, seen.owner_E().astype(np.int64) * width + seen.item_idx_E)
        counts_B = np.bincount(owner_E[keep_E], minlength=len(self))
        kept = GroundTruth(self.queries, self.target_E[keep_E], offsets_of(counts_B), self.user_idx_B)
        return kept if counts_B.all() else kept.take(np.flatnonzero(counts_B))


@dataclass(frozen=True)
class Impressions:
    """Lists that were shown, or might have been, and what came of each entry.

    Attributes:
        queries: I histories as they stood when the lists were asked for, with the context of each request.
        item_idx_E: entries of all lists one after another.
        offsets: I + 1 positions into the entries.
        labels: what happened, by task, shape (E,): 0 or 1, or a share between; NaN where it is not known.
        position_E: places from 0, the first; -1 where unknown.
    """

    queries: Histories
    item_idx_E: Ints
    offsets: Ints
    labels: Mapping[str, npt.NDArray[np.float32]]
    position_E: Ints

    def __post_init__(self) -> None:
        n_lists, n_entries = len(self.queries), len(self.item_idx_E)
        if len(self.offsets) != n_lists + 1 or self.offsets[0] != 0 or self.offsets[-1] != n_entries:
            raise ValueError(
                f"offsets of {len(self.offsets) - 1} lists up to {self.offsets[-1]} do not fit {n_lists} queries, {n_entries} entries"
            )
        for name, column in {**self.labels, "position": self.position_E}.items():
            if len(column) != n_entries:
                raise ValueError(f"{name}: {len(column)} values for {n_entries} entries")

    def __len__(self) -> int:
        return len(self.queries)

    def owner_E(self) -> Ints:
        """The list that each entry belongs to, shape (E,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows: Ints | slice) -> Impressions:
        """Some of the lists, in the order asked for."""
        rows = np.arange(len(self))[rows]
        offsets, entries = picked(self.offsets, rows)
        return Impressions(
            self.queries.take(rows), self.item_idx_E[entries], offsets, {name: label[entries] for name, label in self.labels.items()},
            self.position_E[entries],
        )  # fmt: skip


@dataclass(frozen=True)
class Start:
    """A ranker fitted earlier, on another catalogue.

    Attributes:
        earlier_N: where each of today's items stands in that catalogue; -1 where it did not exist.
    """

    ranker: Ranker
    earlier_N: Ints


@dataclass(frozen=True)
class Training:
    """All that a ranker may learn from.

    Attributes:
        histories: the training interactions of every user; nothing of validation or test.
        n_items: N, the size of the catalogue; items without interactions are in it too.
        content_ND: float32 item vectors of the encoders the ranker named in its config, side by side; None if it named none.
        validation: queries to choose by (early stopping, blend weights); None when everything is trained on.
        repeats: whether an item of the history may be recommended again.
        members: rankers fitted before, by name, for rankers that combine others.
        member_content: the item vectors that each member read, by its name; for rankers that fit members anew.
        impressions: lists that were shown before the held-out part begins, and what came of them; None where none were logged.
        seed: of every random choice.
        items: the catalogue (`item_idx`, `item_id`, `text`, `shown`, its own columns) for rankers that read it; None where there is none.
        start: the ranker of this name that serves already, to begin from instead of from chance; None where there is none.
    """

    histories: Histories
    n_items: int
    content_ND: npt.NDArray[np.float32] | None = None
    validation: GroundTruth | None = None
    repeats: bool = False
    members: Mapping[str, Ranker] = field(default_factory=dict)
    member_content: Mapping[str, npt.NDArray[np.float32] | None] = field(default_factory=dict)
    impressions: Impressions | None = None
    seed: int = 0
    items: pl.DataFrame | None = None
    start: Start | None = None

    def counts_N(self) -> Ints:
        """Training interactions an item, shape (N,)."""
        return self.histories.item_counts(self.n_items)


@dataclass(frozen=True)
class Recommendation:
    """One line of a list."""

    item_id: str
    rank: int
    score: float
    title: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Candidates:
    """K items that may be shown, with what policies may read to choose among them. Each policy says what it cannot do without.

    Attributes:
        item_idx_K: which items, each once.
        scores_K: the ranker's scores, higher is better.
        vectors_KD: content vectors, unit length, for diversity and for bandits; None where there are none.
        counts_K: training interactions of each, for the correction of popularity.
        shares: by item column, how each candidate is made up of its categories, shape (K, C), rows summing to 1 (0 where it has none).
        history_shares: by item column, the same for what the user did, shape (C,); all 0 where nothing is known.
        user_D: the user's own vector, in the space of `vectors_KD`; None for someone without a history.
    """

    item_idx_K: Ints
    scores_K: Floats
    vectors_KD: Floats | None = None
    counts_K: Ints | None = None
    shares: Mapping[str, Floats] = field(default_factory=dict)
    history_shares: Mapping[str, Floats] = field(default_factory=dict)
    user_D: Floats | None = None

    def __len__(self) -> int:
        return len(self.item_idx_K)


@dataclass(frozen=True)
class Slate:
    """What a policy shows, best place first, and how likely each pick was at its place, given the picks above it.

    Attributes:
        features_nF: what a policy that learns wants back in `update`, as it saw the picks when it chose; None of one that does not.
    """

    item_idx: Ints
    propensities: Floats
    features_nF: Floats | None = None
