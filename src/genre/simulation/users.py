"""Users who answer: visitors come with a history, see slate after slate, click, and leave."""

# B visitors at a time, S places of a slate, L entries of a history

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from genre.types import Bools, Histories, Ints

PAD = -1
"""Stands where a slate or a history has no item."""


@dataclass(frozen=True)
class Answer:
    """What came of one slate a visitor.

    Attributes:
        clicked_BS: which places were clicked.
        left_B: who will not ask again.
    """

    clicked_BS: Bools
    left_B: Bools


class Visit(ABC):
    """B visitors in the middle of their visits."""

    @abstractmethod
    def histories(self) -> Histories:
        """What each visitor has chosen so far, before the visit and during it."""

    @abstractmethod
    def answer(self, item_idx_BS: Ints, rng: np.random.Generator) -> Answer:
        """Show everyone a slate; -1 is an empty place, and an item shown twice counts at its first place. Moves the visit on.

        Raises:
            ValueError: an item that does not exist, or slates for another number of visitors.
        """

    @abstractmethod
    def take(self, rows: Ints) -> Visit:
        """Some of the visitors, as they stand now."""


class Users(ABC):
    """A population."""

    n_items: int

    @abstractmethod
    def arrive(self, n: int, rng: np.random.Generator) -> Visit:
        """n visitors, drawn at random, at the beginning of their visits."""


def checked(item_idx_BS: Ints, visitors: int, n_items: int) -> Ints:
    """Slates with -1 at every place that shows nothing new.

    Raises:
        ValueError: see `Visit.answer`.
    """
    item_idx_BS = np.asarray(item_idx_BS)
    if item_idx_BS.ndim != 2 or len(item_idx_BS) != visitors:
        raise ValueError(f"slates have shape {item_idx_BS.shape}; {visitors} visitors need one row each")
    if item_idx_BS.size and not (item_idx_BS.min() >= PAD and item_idx_BS.max() < n_items):
        raise ValueError(f"items of slates run from {item_idx_BS.min()} to {item_idx_BS.max()}, the catalogue has {n_items}")
    again_BS = np.zeros(item_idx_BS.shape, bool)
    for s in range(1, item_idx_BS.shape[1]):
        again_BS[:, s] = (item_idx_BS[:, :s] == item_idx_BS[:, s, None]).any(axis=1)
    return np.where(again_BS, PAD, item_idx_BS)


def appended(histories: Histories, item_idx_BS: Ints, clicked_BS: Bools) -> Histories:
    """Histories with the clicked places behind them, in order of place; they have no clock."""
    new_B = clicked_BS.sum(axis=1)
    offsets = histories.offsets + np.concatenate([[0], np.cumsum(new_B)])
    item_E = np.empty(offsets[-1], np.int32)
    fresh_E = np.ones(offsets[-1], bool)
    old = np.arange(len(histories.item_idx_E)) + np.repeat(offsets[:-1] - histories.offsets[:-1], histories.lengths)
    fresh_E[old] = False
    item_E[old] = histories.item_idx_E
    item_E[fresh_E] = item_idx_BS[clicked_BS]
    return Histories(item_E, np.full(len(item_E), np.nan), offsets, histories.now_B)
