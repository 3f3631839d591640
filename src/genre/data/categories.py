"""Categories: an item column of labels, several of them in one cell separated by `|` or in a list."""

# N items, C categories, E labels of all items

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from genre.types import Floats, Ints, offsets_of

SEPARATOR = "|"


@dataclass(frozen=True)
class Categories:
    """The categories of N items: one flat column of labels, cut by `offsets`, so that a column of many brands takes little memory.

    Attributes:
        names: the C categories, sorted.
        label_E: their indices, item after item, each once an item.
        offsets: N + 1 positions; an item without a category owns none.
    """

    names: list[str]
    label_E: Ints
    offsets: Ints

    @classmethod
    def of(cls, column_N: pl.Series, separator: str = SEPARATOR) -> Self:
        """From a column of strings, or of lists of strings; nulls and empty strings are no category."""
        lists = column_N if column_N.dtype == pl.List(pl.String) else column_N.cast(pl.String).str.split(separator)
        flat = pl.DataFrame({"n": np.arange(len(lists)), "c": lists}).filter(pl.col("c").list.len() > 0).explode("c")
        flat = flat.with_columns(pl.col("c").str.strip_chars()).filter(pl.col("c") != "").unique(maintain_order=True)
        names = flat["c"].unique().sort().to_list()
        label_E = np.searchsorted(np.array(names), flat["c"].to_numpy()) if names else np.empty(0, np.int64)
        count_N = np.bincount(flat["n"].to_numpy(), minlength=len(lists))
        return cls(names, label_E, offsets_of(count_N))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def labels(self, item_idx_K: Ints) -> tuple[Ints, Ints]:
        """The labels of some items, one after another, and the place k of the item that has each."""
        length_K = np.diff(self.offsets)[item_idx_K]
        place_E = np.repeat(np.arange(len(item_idx_K)), length_K)
        first_K = np.cumsum(length_K) - length_K
        return self.label_E[np.arange(len(place_E)) + (self.offsets[:-1][item_idx_K] - first_K)[place_E]], place_E

    def shares(self, item_idx_K: Ints) -> Floats:
        """Each item's mix, shape (K, C): rows sum to 1, or are 0 where an item has no category."""
        return spread(*self.labels(item_idx_K), (len(item_idx_K), len(self.names)))

    def extended(self, column_M: pl.Series) -> Categories:
        """With m items more, whose categories may be new."""
        more = Categories.of(column_M)
        names = sorted({*self.names, *more.names})
        place = {name: c for c, name in enumerate(names)}
        old, new = (np.array([place[name] for name in part.names], np.int64) for part in (self, more))
        label_E = np.concatenate([old[self.label_E], new[more.label_E]])
        return Categories(names, label_E, np.concatenate([self.offsets, self.offsets[-1] + more.offsets[1:]]))


def spread(label_E: Ints, place_E: Ints, shape: tuple[int, int]) -> Floats:
    """Labels as a matrix whose rows sum to 1, or are 0 where a row has none."""
    share_KC = np.zeros(shape, np.float32)
    share_KC[place_E, label_E] = 1.0
    return np.asarray(share_KC / np.maximum(share_KC.sum(1, keepdims=True), 1.0))
