"""The shelf: what is known of every item of a catalogue, from which a policy's candidates are made."""

# N items, K candidates, L events of a history, C categories, D dimensions, E labels

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import polars as pl

from genre.data.categories import Categories, spread
from genre.types import Candidates, Floats, Ints


@dataclass(frozen=True)
class Shelf:
    """All that policies may read of N items.

    Attributes:
        counts_N: interactions of each.
        vectors_ND: content vectors, unit length; None where there are none.
        categories: by item column.
    """

    counts_N: Ints
    vectors_ND: Floats | None = None
    categories: Mapping[str, Categories] = field(default_factory=dict)

    @classmethod
    def of(cls, items: pl.DataFrame, counts_N: Ints, vectors_ND: Floats | None, attributes: Iterable[str]) -> Self:
        """A shelf with the item columns that a policy names (`Policy.Config.attributes`).

        Raises:
            ValueError: there is no such column.
        """
        for name in attributes:
            if name not in items.columns:
                raise ValueError(f"policy: there is no item column {name!r}; there is {', '.join(items.columns)}")
        return cls(counts_N, vectors_ND, {name: Categories.of(items[name]) for name in attributes})

    def candidates(self, item_idx_K: Ints, scores_K: Floats, history_L: Ints) -> Candidates:
        """Candidates with everything the shelf knows, for the user of a history."""
        vectors_ND = self.vectors_ND
        mixes = {name: local_shares(categories, item_idx_K, history_L) for name, categories in self.categories.items()}
        return Candidates(
            item_idx_K,
            scores_K,
            None if vectors_ND is None else vectors_ND[item_idx_K],
            self.counts_N[item_idx_K],
            {name: share_KC for name, (share_KC, _) in mixes.items()},
            {name: mix_C for name, (_, mix_C) in mixes.items()},
            None if vectors_ND is None or not len(history_L) else mean_direction(vectors_ND[history_L]),
        )

    def extended(self, items: pl.DataFrame, vectors_MD: Floats | None) -> Shelf:
        """The shelf with items more, that nobody has touched yet."""
        vectors_ND = None if self.vectors_ND is None or vectors_MD is None else np.concatenate([self.vectors_ND, vectors_MD])
        absent = pl.repeat(None, len(items), dtype=pl.String, eager=True)
        columns = {name: items[name] if name in items.columns else absent for name in self.categories}
        categories = {name: self.categories[name].extended(column) for name, column in columns.items()}
        return Shelf(np.pad(self.counts_N, (0, len(items))), vectors_ND, categories)


def local_shares(categories: Categories, item_idx_K: Ints, history_L: Ints) -> tuple[Floats, Floats]:
    """Mixes of candidates (K, C) and of a history (C,), over the few of all categories that occur in either."""
    (label_E, place_E), (past_E, event_E) = categories.labels(item_idx_K), categories.labels(history_L)
    found, column_E = np.unique(np.concatenate([label_E, past_E]), return_inverse=True)
    share_KC = spread(column_E[: len(label_E)], place_E, (len(item_idx_K), len(found)))
    past_LC = spread(column_E[len(label_E) :], event_E, (len(history_L), len(found)))
    return share_KC, past_LC.sum(0) / np.float32(max(float(past_LC.sum()), 1e-12))


def mean_direction(vectors_LD: Floats) -> Floats:
    """The mean of vectors, unit length; zero where they cancel."""
    mean_D = vectors_LD.mean(0)
    return np.asarray(mean_D / max(float(np.linalg.norm(mean_D)), 1e-12))
