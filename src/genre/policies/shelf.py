"""The shelf: what is known of every item of a catalogue, from which a policy's candidates are made."""

# N items, K candidates, L events of a history, C categories, D dimensions

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from genre.types import Candidates, Floats, Ints


@dataclass(frozen=True)
class Shelf:
    """All that policies may read of N items.

    Attributes:
        counts_N: training interactions of each.
        vectors_ND: content vectors, unit length; None where there are none.
        shares: by item column, each item's mix of categories, shape (N, C).
    """

    counts_N: Ints
    vectors_ND: Floats | None = None
    shares: Mapping[str, Floats] = field(default_factory=dict)

    def candidates(self, item_idx_K: Ints, scores_K: Floats, history_L: Ints) -> Candidates:
        """Candidates with everything the shelf knows, for the user of a history."""
        return Candidates(
            item_idx_K,
            scores_K,
            None if self.vectors_ND is None else self.vectors_ND[item_idx_K],
            self.counts_N[item_idx_K],
            {name: share_NC[item_idx_K] for name, share_NC in self.shares.items()},
            {name: mix(share_NC[history_L]) for name, share_NC in self.shares.items()},
            None if self.vectors_ND is None or not len(history_L) else mean_direction(self.vectors_ND[history_L]),
        )

    def grown(self, vectors_MD: Floats | None, shares: Mapping[str, Floats], m: int) -> Shelf:
        """The shelf with m items more, that nobody has touched yet."""
        both = None if self.vectors_ND is None or vectors_MD is None else np.concatenate([self.vectors_ND, vectors_MD])
        return Shelf(np.pad(self.counts_N, (0, m)), both, shares)


def mix(share_LC: Floats) -> Floats:
    """The mix of some items, summing to 1; all 0 where they have no category."""
    total_C = share_LC.sum(0)
    return np.asarray(total_C / max(float(total_C.sum()), 1e-12))


def mean_direction(vectors_LD: Floats) -> Floats:
    """The mean of vectors, unit length; zero where they cancel."""
    mean_D = vectors_LD.mean(0)
    return np.asarray(mean_D / max(float(np.linalg.norm(mean_D)), 1e-12))
