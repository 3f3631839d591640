"""Lists: candidates with their features and labels, ready to be learnt from, list by list."""

# I lists, E entries of all lists one after another, F features, T tasks, B lists of a batch

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from genre.types import Floats, Ints, offsets_of


@dataclass(frozen=True)
class Lists:
    """Examples.

    Attributes:
        rows_EF: features.
        offsets: I + 1 positions into the entries.
        label_TE: what happened, NaN where it is not known.
        position_E: place shown, from 0; -1 where unknown.
        relevant_I: right items of each list, also those that are not in it.
    """

    rows_EF: npt.NDArray[np.float32]
    offsets: Ints
    label_TE: npt.NDArray[np.float32]
    position_E: Ints
    relevant_I: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def owner_E(self) -> Ints:
        """The list that each entry belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @classmethod
    def joined(cls, parts: Sequence[Lists]) -> Lists:
        """Several parts, one after another."""
        starts = np.cumsum([0, *(len(part.position_E) for part in parts)])
        return cls(
            np.concatenate([part.rows_EF for part in parts]),
            np.concatenate([[0], *(part.offsets[1:] + start for part, start in zip(parts, starts[:-1], strict=True))]).astype(np.int64),
            np.concatenate([part.label_TE for part in parts], axis=1),
            np.concatenate([part.position_E for part in parts]),
            np.concatenate([part.relevant_I for part in parts]),
        )

    def take(self, rows: Ints) -> Lists:
        """Some of the lists, in the order asked for."""
        lengths = np.diff(self.offsets)[rows]
        offsets = offsets_of(lengths)
        entries = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return Lists(self.rows_EF[entries], offsets, self.label_TE[:, entries], self.position_E[entries], self.relevant_I[rows])

    def without(self, columns: Ints) -> Lists:
        """The same with some features at zero everywhere: what never varies is nothing to learn from."""
        rows_EF = self.rows_EF.copy() if len(columns) else self.rows_EF
        rows_EF[:, columns] = 0.0
        return replace(self, rows_EF=rows_EF)

    def ndcg(self, score_E: Floats, gain_E: Floats, k: int = 10) -> float:
        """Mean NDCG@k over lists with something to find; of equal scores the right ones come last."""
        found_E = gain_E > 0
        owner_E = self.owner_E()
        order = np.lexsort((found_E, -score_E, owner_E))
        place_E = np.arange(len(order)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        hit_E = found_E[order] & (place_E < k)
        gained_I = np.bincount(owner_E, np.where(hit_E, 1 / np.log2(place_E + 2.0), 0.0), len(self))
        ideal_I = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])[np.minimum(self.relevant_I, k)]
        some = self.relevant_I > 0
        return float((gained_I[some] / ideal_I[some]).mean()) if some.any() else 0.0


class ListBatch(NamedTuple):
    """A few lists, numbered from 0."""

    rows_EF: npt.NDArray[np.float32]
    label_TE: npt.NDArray[np.float32]
    position_E: Ints
    owner_E: Ints
    lists: int


class ListBatches(Sequence[ListBatch]):
    """The batches of one epoch, in an order of its own, each built when it is asked for."""

    def __init__(self, lists: Lists, size: int, entries: int, rng: np.random.Generator) -> None:
        """Lists longer than `entries` are thinned, anew each epoch: what has a label above 0 stays, of the others a sample."""
        order = rng.permutation(len(lists))
        self._lists, self._parts = lists, [order[start : start + size] for start in range(0, len(order), size)]
        chance_E = rng.random(len(lists.position_E)) - (np.nan_to_num(lists.label_TE) > 0).any(axis=0)
        by_chance = np.lexsort((chance_E, lists.owner_E()))
        place_E = np.empty(len(by_chance), np.int64)
        place_E[by_chance] = np.arange(len(by_chance)) - np.repeat(lists.offsets[:-1], np.diff(lists.offsets))
        self._keep_E = place_E < entries

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, place: int) -> ListBatch: ...
    @overload
    def __getitem__(self, place: slice) -> list[ListBatch]: ...
    def __getitem__(self, place: int | slice) -> ListBatch | list[ListBatch]:
        if isinstance(place, slice):
            return [self[p] for p in range(*place.indices(len(self)))]
        rows, lists = self._parts[place], self._lists
        entries = np.concatenate([np.arange(lists.offsets[row], lists.offsets[row + 1]) for row in rows])
        owner_E = np.repeat(np.arange(len(rows)), np.diff(lists.offsets)[rows])
        keep = self._keep_E[entries]
        entries, owner_E = entries[keep], owner_E[keep]
        return ListBatch(lists.rows_EF[entries], lists.label_TE[:, entries], lists.position_E[entries], owner_E, len(rows))
