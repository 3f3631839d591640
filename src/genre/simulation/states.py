"""User states for learning: the ranker's reading of a history, and what was chosen lately and in all, in the ranker's own space."""

# B visitors, N items, D embedding (and categories), C categories, F features of a state

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.rankers.neighbours import recency_BN
from genre.rankers.sequential import SequentialRanker
from genre.types import Floats, Histories

DECAYS = (0.3, 0.6, 0.85)
"""How fast what was chosen fades, in each of several readings: of the last choice, of the last few, and of a dozen."""
NEWEST = 100
"""Entries of a history that are read."""
OF_CATEGORY = 2.0
"""How long an item's category is in its vector, in units of the ranker's own columns."""


class UserStates:
    """Makes states of histories: the user's vector as the ranker reads it, then everything a network wants, in numbers near 1.

    A ranker that was learnt from ids need not keep apart what bores together. Where the catalogue has categories, choices are counted by
    category, and items are told apart by it.
    """

    def __init__(self, ranker: SequentialRanker, category_NC: Floats | None = None) -> None:
        """States over a ranker.

        Args:
            category_NC: each item's mix of categories, rows summing to 1 (`beyond_accuracy.category_shares`).

        Raises:
            ValueError: categories of another number of items.
        """
        self.ranker, self.items_ND, self.category_NC = ranker, ranker.item_vectors(), category_NC
        self.width = int(self.items_ND.shape[1])
        # Rankers differ in the length of their vectors.
        self.scale = 1.0 / (float(np.sqrt((self.items_ND**2).mean())) or 1.0)
        if category_NC is not None:
            if len(category_NC) != len(self.items_ND):
                raise ValueError(f"categories of {len(category_NC)} items, but the ranker knows {len(self.items_ND)}")
            self.items_ND = np.concatenate([self.items_ND, OF_CATEGORY / self.scale * category_NC], axis=1).astype(np.float32)

    @property
    def features(self) -> int:
        """F, the length of a state."""
        counts = 0 if self.category_NC is None else self.category_NC.shape[1]
        read = self.width * (2 + len(DECAYS)) if self.category_NC is None else self.width + counts * (1 + len(DECAYS))
        return int(self.items_ND.shape[1]) + read + 1

    def of(self, histories: Histories) -> npt.NDArray[np.float32]:
        """States, shape (B, F); the user's vector comes first, with zeros for the categories, of which the ranker says nothing.

        Raises:
            ValueError: the ranker gives a vector that is not finite.
        """
        recent = histories.newest(NEWEST)
        user_BD = self.ranker.user_vectors(histories)
        if not np.isfinite(user_BD).all():
            raise ValueError("the ranker reads a history as a vector that is not finite: it is broken, and no policy can stand on it")
        spread_B1 = np.sqrt((user_BD**2).mean(axis=1, keepdims=True)) + 1e-9
        length_B1 = np.log1p(recent.lengths)[:, None] / np.log1p(NEWEST)
        nothing_BC = np.zeros((len(histories), self.items_ND.shape[1] - self.width))
        chosen = self._by_vector(recent) if self.category_NC is None else self._by_category(recent, self.category_NC)
        return np.concatenate([user_BD, nothing_BC, user_BD / spread_B1, *chosen, length_B1], axis=1).astype(np.float32)

    def _by_vector(self, recent: Histories) -> list[Floats]:
        """What was chosen lately, and on average."""
        n_items = len(self.items_ND)
        fading = [recency_BN(recent, n_items, decay) @ self.items_ND * (1 - decay) for decay in DECAYS]
        mean_BD = recency_BN(recent, n_items, 1.0) @ self.items_ND / np.maximum(recent.lengths, 1)[:, None]
        return [self.scale * each_BD for each_BD in (*fading, 3 * mean_BD)]

    def _by_category(self, recent: Histories, category_NC: Floats) -> list[Floats]:
        """How often each category was chosen lately, and in all, as the logarithm of its share times the number of categories."""
        n_items, n_categories = category_NC.shape
        fading = [recency_BN(recent, n_items, decay) @ category_NC for decay in DECAYS]
        count_BC = recency_BN(recent, n_items, 1.0) @ category_NC
        share_BC = (count_BC + 1) / (count_BC.sum(axis=1, keepdims=True) + n_categories)
        return [*fading, np.log(n_categories * share_BC)]
