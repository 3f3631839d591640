"""Transitions: what follows what, counted within a window (a Markov chain that skips, after He and McAuley's Fossil, 2016)."""

# B queries, E training interactions, N items

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from genre.component import Arrays
from genre.fading import faded_counts_N, faded_E
from genre.progress import track
from genre.rankers import Ranker
from genre.rankers.neighbours import blocks, from_arrays, grown, grown_by_zeros, multiply, recency_BN, strongest, to_arrays
from genre.sittings import sittings_E
from genre.types import Bools, Floats, Histories, Ints, Training

PAIRS_AT_ONCE = 1 << 23


class TransitionsRanker(Ranker):
    """Scores an item by how often it came soon after the items of the history, the newer of which count more."""

    class Config(Ranker.Config):
        use: str = "transitions"
        window: PositiveInt = 20
        """How many entries apart two events of a user may be and still count as a pair."""
        pair_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
        """A pair g steps apart counts pair_decay^g."""
        reverse: NonNegativeFloat = 0.5
        """What a pair counts in the other direction: 0 believes the order of events, 1 ignores it."""
        popularity_power: NonNegativeFloat = 0.5
        """Pairs are divided by their target's count to this power: 0 favours what is popular, 1 what is particular."""
        source_power: NonNegativeFloat = 0.5
        """The same for the item of the history."""
        user_power: NonNegativeFloat = 0.0
        """The same for the length of the user's history: above 0, those who touch everything say less."""
        shrinkage: NonNegativeFloat = 20.0
        """Added to the items' counts that are divided by: rare items are believed less."""
        decay: Annotated[float, Field(gt=0, le=1)] = 0.7
        """Weight of each step of the history relative to the one after it, when scoring."""
        sitting_seconds: NonNegativeFloat | None = 0.0
        """Events at most this far apart are one step, without order (0: the same time stamp, a basket). None: each is a step."""
        half_life_days: PositiveFloat | None = None
        """Days after which a pair counts half in training; None counts all alike."""
        neighbours: PositiveInt = 500
        """Strongest targets kept for each item."""

    config: Config

    def fit(self, training: Training, folder: Path) -> None:
        """Count pairs, a block of source items at a time, in time and memory linear in the interactions; see Ranker.fit."""
        config = self.config
        count_N = training.counts_N()
        divisor_N = count_N + config.shrinkage
        target_N = np.where(count_N > 0, divisor_N, 1.0) ** -config.popularity_power
        source_N = np.where(count_N > 0, divisor_N, 1.0) ** -config.source_power
        kept = []
        for block, pairs in count_pairs(training.histories, training.n_items, config):
            scaled = sparse.coo_array(pairs)
            row, column = scaled.coords
            scaled.data *= target_N[column] * source_N[block][row]
            kept.append(strongest(scaled, config.neighbours))
        self.weights_NN = sparse.vstack(kept, format="csr")
        self.count_N = faded_counts_N(training.histories, training.n_items, config.half_life_days)

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """The root of the summed weights; what nothing in the history leads to comes after, by popularity, and untouched items last."""
        history_BN = recency_BN(queries, len(self.count_N), self.config.decay, self.config.sitting_seconds)
        return multiply(history_BN, self.weights_NN, self.count_N)

    def known(self) -> Bools:
        """Items that somebody touched."""
        return self.count_N > 0

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """Nothing leads to new items."""
        self.weights_NN, self.count_N = grown(self.weights_NN, m), grown_by_zeros(self.count_N, m)

    def state(self) -> Arrays:
        """Weights and counts."""
        return {**to_arrays(self.weights_NN), "count_N": self.count_N}

    def restore(self, state: Arrays) -> None:
        """Take them back."""
        self.weights_NN, self.count_N = from_arrays(state), state["count_N"]


def count_pairs(histories: Histories, n_items: int, config: TransitionsRanker.Config) -> Iterator[tuple[slice, Any]]:
    """Blocks of source items, each with a sparse (block, N) matrix of its decayed pair counts."""
    item_E = histories.item_idx_E
    owner_E = histories.owner_E().astype(np.int32)
    step_E = sittings_E(histories, config.sitting_seconds)
    weight_E = (
        faded_E(histories.time_E, config.half_life_days)
        * np.repeat(histories.lengths.astype(np.float32), histories.lengths) ** -config.user_power
    )
    by_item_E = np.argsort(item_E, kind="stable")
    start_N = np.searchsorted(item_E[by_item_E], np.arange(n_items + 1))
    for block in track(list(blocks(np.diff(start_N), max(PAIRS_AT_ONCE // (2 * config.window), 1))), "counting transitions"):
        from_P = by_item_E[start_N[block.start] : start_N[block.stop]]
        sources: list[Ints] = []
        targets: list[Ints] = []
        weights: list[Floats] = []
        for gap in range(-config.window, config.window + 1):
            if gap == 0 or (gap < 0 and config.reverse == 0):
                continue
            to_P = from_P + gap
            same_P = (to_P >= 0) & (to_P < len(item_E))
            same_P &= owner_E[np.where(same_P, to_P, 0)] == owner_E[from_P]
            source, target = from_P[same_P], to_P[same_P]
            apart = np.abs(step_E[target] - step_E[source])
            one_way = np.where(apart > 0, config.reverse if gap < 0 else 1.0, (1 + config.reverse) / 2)  # a sitting has no order
            sources.append((item_E[source] - block.start).astype(np.int32))
            targets.append(item_E[target].astype(np.int32))
            weights.append((one_way * config.pair_decay**apart * weight_E[np.maximum(source, target)]).astype(np.float32))
        shape = (block.stop - block.start, n_items)
        pairs = (np.concatenate(weights), (np.concatenate(sources), np.concatenate(targets)))
        yield block, sparse.coo_array(pairs, shape=shape).tocsr()
