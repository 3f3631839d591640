"""Successors: what a sequence model is to predict at each entry, where some entries have no order and some targets teach nothing."""

# E entries of all users one after another, F those of them that are their user's first of an item, U users, N items

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from genre.fading import faded_E
from genre.sittings import sittings_E
from genre.types import Bools, Histories, Ints

Target = Literal["entry", "sitting"]


class Course(NamedTuple):
    """One epoch's reading of the histories: the items in order, and at each place what comes next, -1 where nothing is asked."""

    item_E: Ints
    target_E: Ints


class Successors:
    """Draws a `Course` an epoch.

    Entries of one sitting have no order, so it is drawn anew each time: an order that is not there cannot be learnt by heart. Unless
    repeats are allowed, an item the user had before is never a target: a list will not show it.
    """

    def __init__(
        self,
        histories: Histories,
        item_E: Ints,
        sitting_seconds: float | None,
        target: Target,
        repeats: bool,
        half_life_days: float | None = None,
    ) -> None:
        """`item_E` are the items as the model counts them; see `sittings_E` for the seconds.

        Args:
            target: `entry` asks for the next entry, of this sitting or the next; `sitting` for any item of the next sitting, drawn anew
                each time, and never for the rest of this one.
            half_life_days: a target this much older than the newest is asked for in every second reading; None asks for all each time.
        """
        self._item_E, self._owner_E, self._target = item_E, histories.owner_E(), target
        self._sitting_E = sittings_E(histories, sitting_seconds)
        self._allowed_E = np.ones(len(item_E), bool) if repeats else first_of_item_E(self._owner_E, item_E)
        self._asked_E = None if half_life_days is None else faded_E(histories.time_E, half_life_days)

    def draw(self, rng: np.random.Generator) -> Course:
        """One reading."""
        order_E = self._order_E(rng)
        item_E, allowed_E = self._item_E[order_E], self._allowed_E[order_E]
        place_E = np.arange(1, len(item_E) + 1) if self._target == "entry" else self._in_next_sitting(allowed_E, rng)
        inside_E = place_E < len(item_E)
        place_E = np.where(inside_E, place_E, 0)
        asked_E = inside_E & (self._owner_E[place_E] == self._owner_E) & allowed_E[place_E]
        if self._asked_E is not None:
            asked_E &= rng.random(len(item_E)) < self._asked_E[order_E][place_E]
        return Course(item_E, np.where(asked_E, item_E[place_E], -1))

    def _order_E(self, rng: np.random.Generator) -> Ints:
        if len(self._sitting_E) and self._sitting_E[-1] == len(self._sitting_E) - 1:  # every entry stands alone
            return np.arange(len(self._sitting_E))
        return np.lexsort((rng.random(len(self._sitting_E)), self._sitting_E))

    def _in_next_sitting(self, allowed_E: Bools, rng: np.random.Generator) -> Ints:
        """For each entry the place of one allowed entry, at random, of the first later sitting that has any."""
        place_F = np.flatnonzero(allowed_E)
        sitting_F = self._sitting_E[place_F]
        begin_E = np.searchsorted(sitting_F, self._sitting_E, "right")
        inside_E = begin_E < len(place_F)
        sitting_E = np.where(inside_E, sitting_F[np.minimum(begin_E, len(place_F) - 1)], -1)
        size_E = np.searchsorted(sitting_F, sitting_E, "right") - begin_E
        drawn_E = begin_E + (rng.random(len(begin_E)) * size_E).astype(np.int64)
        return np.where(inside_E, place_F[np.minimum(drawn_E, len(place_F) - 1)], len(allowed_E))


def first_of_item_E(owner_E: Ints, item_E: Ints) -> Bools:
    """Whether an entry is its user's first of this item."""
    pair_E = owner_E.astype(np.int64) * (int(item_E.max(initial=0)) + 1) + item_E
    _, first_F = np.unique(pair_E, return_index=True)
    found_E = np.zeros(len(item_E), bool)
    found_E[first_F] = True
    return found_E
