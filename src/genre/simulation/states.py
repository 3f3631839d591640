"""User states for learning: the ranker's reading of a history, and what was chosen lately and in all, in the ranker's own space."""

# B visitors, N items, D embedding, F features of a state

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.rankers.neighbours import recency_BN
from genre.rankers.sequential import SequentialRanker
from genre.types import Histories

DECAYS = (0.3, 0.6, 0.85)
"""How fast what was chosen fades, in each of several readings: of the last choice, of the last few, and of a dozen."""
NEWEST = 100
"""Entries of a history that are read."""


class UserStates:
    """Makes states of histories: the user's vector as the ranker reads it, then everything a network wants, in numbers near 1."""

    def __init__(self, ranker: SequentialRanker) -> None:
        self.ranker, self.items_ND = ranker, ranker.item_vectors()
        # Rankers differ in the length of their vectors.
        self.scale = 1.0 / (float(np.sqrt((self.items_ND**2).mean())) or 1.0)

    @property
    def features(self) -> int:
        """F, the length of a state."""
        return (3 + len(DECAYS)) * int(self.items_ND.shape[1]) + 1

    def of(self, histories: Histories) -> npt.NDArray[np.float32]:
        """States, shape (B, F); the user's vector comes first."""
        recent = histories.newest(NEWEST)
        n_items = len(self.items_ND)
        fading = [recency_BN(recent, n_items, decay) @ self.items_ND * (1 - decay) for decay in DECAYS]
        mean_BD = recency_BN(recent, n_items, 1.0) @ self.items_ND / np.maximum(recent.lengths, 1)[:, None]
        user_BD = self.ranker.user_vectors(histories)
        spread_B1 = np.sqrt((user_BD**2).mean(axis=1, keepdims=True)) + 1e-9
        length_B1 = np.log1p(recent.lengths)[:, None] / np.log1p(NEWEST)
        read = [user_BD / spread_B1, *(self.scale * each_BD for each_BD in (*fading, 3 * mean_BD)), length_B1]
        return np.concatenate([user_BD, *read], axis=1).astype(np.float32)
