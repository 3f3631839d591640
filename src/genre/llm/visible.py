"""What a prompt may tell of a user: training interactions, and nothing that is held out."""

# L events of a history

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genre.data.dataset import Dataset
from genre.data.splitting import TRAIN
from genre.types import Histories, Ints


class HeldOutError(RuntimeError):
    """A held-out interaction was about to enter a prompt."""


class Visible:
    """Histories that may be spoken of, and the check that every prompt passes.

    The check goes back to the interactions and their parts instead of trusting the histories that it checks.
    """

    def __init__(self, dataset: Dataset) -> None:
        user_idx, item_idx, part = (dataset.interactions[name].to_numpy() for name in ("user_idx", "item_idx", "part"))
        rows = part == TRAIN
        self._n_items = dataset.n_items
        self._pairs = np.unique(user_idx[rows].astype(np.int64) * self._n_items + item_idx[rows])
        self.histories: Histories = dataset.training

    def newest(self, user: int, n: int) -> Ints:
        """A user's last n training events, oldest first."""
        return self.checked(user, self.histories.items(user)[-n:])

    def checked(self, user: int, item_idx_L: Ints | Sequence[int]) -> Ints:
        """The same items, if each of them is a training interaction of this user.

        Raises:
            HeldOutError: one is not.
        """
        item_idx_L = np.asarray(item_idx_L, np.int64)
        pair_L = user * self._n_items + item_idx_L
        strange = item_idx_L[np.searchsorted(self._pairs, pair_L, "right") == np.searchsorted(self._pairs, pair_L, "left")]
        if len(strange):
            raise HeldOutError(f"item {strange[0]} is no training interaction of user {user}; nothing that is held out may enter a prompt")
        return item_idx_L
